"""Twin of hb_array_ctrl and hb_array with their memories: the steps and what they compute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Conv:
    """The fields of CONV that ARRAY reads."""

    npix: int
    n_groups: int
    kwords: int
    wb: int
    ab: int
    bipolar: int
    lane_mode: int
    w_base: int
    w_stride: int

    @property
    def wide_words(self) -> int:
        """Wide weight words of one group."""
        return stride(self.wb, self.kwords, self.lane_mode)

    @property
    def steps(self) -> int:
        """Cycles of one group."""
        if self.lane_mode == 0:
            return self.wb * self.ab * ((self.kwords + 1) // 2)
        pairs = (self.ab + 1) // 2
        return self.wb * pairs * self.kwords + (pairs - 1 if self.wb == 1 else 0)


def stride(wb: int, kwords: int, lane_mode: int) -> int:
    """Wide words of one group of weights."""
    return (wb * kwords + 1) // 2 if lane_mode else wb * ((kwords + 1) // 2)


@dataclass(frozen=True)
class Step:
    """One cycle of the array: controls, and where its operands lie (None for an empty step)."""

    first: bool
    shift: bool
    last: bool
    neg: bool = False
    at: tuple[int, int, int] | None = None
    """Weight plane, activation plane, first word."""


def group_steps(c: Conv) -> list[Step]:
    """The steps of one group in order."""
    per_step = 1 if c.lane_mode else 2
    planes = range(0, c.ab, 2) if c.lane_mode else range(c.ab)
    top = c.wb - 1 + planes[-1]
    found: list[Step] = []
    for s in range(top, -1, -1):
        pairs = [(i, s - i) for i in range(c.wb) if s - i in planes]
        ats = [(i, j, k) for i, j in pairs for k in range(0, c.kwords, per_step)] or [None]
        for n, at in enumerate(ats):
            found.append(
                Step(
                    first=s == top and n == 0,
                    shift=s < top and n == 0,
                    last=s == 0 and n == len(ats) - 1,
                    neg=at is not None and at[0] == c.wb - 1 and not c.bipolar,
                    at=at,
                )
            )
    assert len(found) == c.steps
    return found


def weight_address(c: Conv, group: int, i: int, k: int) -> tuple[int, int]:
    """Wide word and half (0 low, 1 high) of word ``k`` of weight plane ``i``."""
    if c.lane_mode:
        line = i * c.kwords + k
        return c.w_base + group * c.w_stride + line // 2, line % 2
    return c.w_base + group * c.w_stride + i * ((c.kwords + 1) // 2) + k // 2, k % 2


def column_row(c: Conv, tile_row: int, j: int, k: int) -> int:
    """Row of word ``k`` of activation plane ``j`` in the buffer that begins at ``tile_row``."""
    return tile_row + j // 4 * c.kwords + k


def planes_of(values: Ints, bits: int) -> Bits:
    """Bit planes, shape (bits, *values.shape), two's complement."""
    return np.stack([(values >> b & 1).astype(np.bool_) for b in range(bits)])


def weight_image(c: Conv, weights: Ints, *, dm: int, k: int) -> dict[int, int]:
    """Wide words by address of ``weights`` (n_groups*dm, kwords*k/2); bipolar: values of +-1."""
    w = k // 2
    bits = planes_of(weights > 0 if c.bipolar else weights, c.wb)
    image: dict[int, int] = {}
    for g in range(c.n_groups):
        for i in range(c.wb):
            for word in range(c.kwords):
                address, half = weight_address(c, g, i, word)
                for m in range(dm):
                    lanes = bits[i, g * dm + m, word * w : (word + 1) * w]
                    value = int.from_bytes(
                        np.packbits(lanes, bitorder="little").tobytes(), "little"
                    )
                    image[address] = image.get(address, 0) | value << (m * k + half * w)
    return image


def accumulate(c: Conv, weights: Ints, columns: Ints, word: int) -> Ints:
    """Step by step what the units deliver: (pixels, rows) of one group.

    Parameters
    ----------
    weights : int64, shape (rows, kwords*word)
    columns : int64, shape (pixels, kwords*word)
    word : int
        Lanes of a word.
    """
    wbits = planes_of(weights > 0 if c.bipolar else weights, c.wb).astype(np.int64)
    abits = planes_of(columns, c.ab + 1).astype(np.int64)  # one more: mode 1 reads planes in twos
    ones = np.ones((1, weights.shape[1]), np.int64)
    acc = np.zeros((columns.shape[0], weights.shape[0]), np.int64)
    total = np.zeros((columns.shape[0], 1), np.int64)
    for step in group_steps(c):
        if step.first:
            acc[:], total[:] = 0, 0
        elif step.shift:
            acc, total = 2 * acc, 2 * total
        if step.at is None:
            continue
        i, j, k = step.at
        lanes = slice(k * word, (k + (1 if c.lane_mode else 2)) * word)
        a = abits[j, :, lanes]
        if c.lane_mode:
            a = a + 2 * abits[j + 1, :, lanes]
        count = a @ wbits[i, :, lanes].T
        acc = acc - count if step.neg else acc + count
        total = total + a @ ones[:, lanes].T
    if c.bipolar:
        acc = 2 * acc - total
    return (acc + 2**31) % 2**32 - 2**31


def results(c: Conv, weights: Ints, columns: Ints, *, dm: int, dn: int, word: int) -> list[int]:
    """Results of an instruction in the order of the stream, for columns of all its pixels."""
    stream: list[int] = []
    for p in range(0, c.npix, dn):
        for g in range(c.n_groups):
            stream += (
                accumulate(c, weights[g * dm : (g + 1) * dm], columns[p : p + dn], word)
                .ravel()
                .tolist()
            )
    return stream


def cycles(commands: list[Conv], *, dm: int, dn: int, r: int) -> int:
    """Cycles from the first step to the last beat of the drain, with neither stall nor bubble."""
    now, drained = 0, 0
    for c in commands:
        for p in range(0, c.npix, dn):
            for _ in range(c.n_groups):
                now = max(now + c.steps, drained)  # when the results go to the drain registers
                drained = now + min(dn, c.npix - p) * dm // r
    return drained
