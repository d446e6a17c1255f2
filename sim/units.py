"""What REQUANT and POOL do, as array functions: the twins of their RTL and parts of the simulator.

The activation store is the array of bits of :mod:`hessbit.sim.columns`, ``(2, half_words, W)``. The
result stream between ARRAY or POOL and REQUANT is an array ``(beats, R)`` in the order tile, group,
pixel, slice of ``docs/microarchitecture.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hessbit.errors import SimulationError
from hessbit.hw.config import AcceleratorConfig
from hessbit.hw.isa import PARAM_BYTES, PARAM_FIELDS, PoolOp, unpack_fields
from hessbit.numerics import requantize
from hessbit.sim.columns import HALF_BIT, OFFSET_MASK, pixel_positions

Bits = NDArray[np.uint8]
Ints = NDArray[np.int64]

LANE_LIMIT = 1 << 16
"""Lanes of one row of a feature map stay below this."""


@dataclass(frozen=True, kw_only=True)
class ParamTable:
    """The parameter memory: one entry of each array per channel, all ``(ParamChannels,)`` int64."""

    bias: Ints
    m: Ints
    s: Ints
    m2: Ints
    t: Ints

    @classmethod
    def zeros(cls, entries: int) -> ParamTable:
        """A table of ``entries`` entries: multipliers zero, shifts 1 (``s``) and 0 (``t``)."""
        z = np.zeros((5, entries), np.int64)
        return cls(bias=z[0], m=z[1], s=z[2] + 1, m2=z[3], t=z[4])

    def load(self, first: int, data: bytes) -> None:
        """Set the entries from ``first`` on from their 16-byte slots in DDR.

        Raises
        ------
        SimulationError
            When they do not fit the memory.
        """
        count = len(data) // PARAM_BYTES
        if first + count > len(self.bias):
            raise SimulationError(
                f"parameter entries {first}..{first + count - 1} of {len(self.bias)}"
            )
        for i in range(count):
            slot = data[i * PARAM_BYTES : (i + 1) * PARAM_BYTES]
            entry = unpack_fields(PARAM_FIELDS, int.from_bytes(slot, "little"))
            for name in ("bias", "m", "s", "m2", "t"):
                getattr(self, name)[first + i] = entry[name]


def beat_order(config: AcceleratorConfig, npix: int, n_groups: int) -> tuple[Ints, Ints]:
    """Pixel number and first channel of every beat of the result stream.

    Parameters
    ----------
    config : AcceleratorConfig
        Gives ``dm``, ``dn`` and ``r``.
    npix, n_groups : int
        Fields of the instruction.

    Returns
    -------
    tuple of int64, each shape (beats,)
        Pixel within the instruction; channel ``group*dm + slice*r``.
    """
    channel = np.arange(0, n_groups * config.dm, config.r, dtype=np.int64)
    channel = channel.reshape(n_groups, 1, config.dm // config.r)
    pixels, channels = [], []
    for first in range(0, npix, config.dn):
        tile = np.arange(first, min(first + config.dn, npix), dtype=np.int64).reshape(1, -1, 1)
        p, c = np.broadcast_arrays(tile, channel)
        pixels.append(p.ravel())
        channels.append(c.ravel())
    return np.concatenate(pixels), np.concatenate(channels)


@dataclass(frozen=True, kw_only=True)
class _Map:
    """A feature map in the store: word address, words of a row, bits, and its name in errors."""

    base: int
    row_words: int
    bits: int
    what: str

    def words(self, store: Bits, row: Ints, lane: Ints) -> Ints:
        """Word offsets of plane 0 within the half, checked against the size of the half."""
        if lane.size and int(lane.max()) >= LANE_LIMIT:
            raise SimulationError(
                f"lane {int(lane.max())} of {self.what}: a row has at most {LANE_LIMIT}"
            )
        row_start = (self.base & OFFSET_MASK) + row * self.row_words
        offset: Ints = row_start + lane // store.shape[2] * self.bits
        end = int(offset.max()) + self.bits if offset.size else 0
        if end > store.shape[1]:
            raise SimulationError(
                f"{self.what} reaches word {end - 1} of {store.shape[1]} in its half"
            )
        return offset

    def read(self, store: Bits, row: Ints, lane: Ints) -> Ints:
        """Unsigned values at (row, lane), which broadcast."""
        offset = self.words(store, row, lane)
        value = np.zeros(offset.shape, np.int64)
        at = np.broadcast_to(lane % store.shape[2], offset.shape)
        for plane in range(self.bits):
            value += store[self.base >> HALF_BIT, offset + plane, at].astype(np.int64) << plane
        return value

    def write(self, store: Bits, row: Ints, lane: Ints, value: Ints) -> None:
        """Write unsigned values at (row, lane)."""
        offset = self.words(store, row, lane)
        for plane in range(self.bits):
            bit = (value >> plane) & 1
            store[self.base >> HALF_BIT, offset + plane, lane % store.shape[2]] = bit


def requant_stream(
    config: AcceleratorConfig,
    fields: Mapping[str, int],
    results: Ints,
    params: ParamTable,
    store: Bits,
) -> None:
    """Requantise the results of one CONV or POOL and write them to the activation store.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the accelerator.
    fields : mapping
        Fields of the instruction; the output fields are used.
    results : int64, shape (beats, R)
        The result stream in its order.
    params : ParamTable
        The parameter memory.
    store : uint8, shape (2, half_words, W)
        The activation store; changed in place. The residual is read before anything is written.

    Raises
    ------
    SimulationError
        When the stream has another number of beats than the instruction, or an access leaves its
        memory.
    """
    npix, channels = fields["npix"], fields["n_groups"] * config.dm
    pixel, channel = beat_order(config, npix, fields["n_groups"])
    if results.shape != (len(pixel), config.r):
        raise SimulationError(f"{results.shape} results for {(len(pixel), config.r)} in REQUANT")
    entries = slice(fields["p_base"], fields["p_base"] + channels)
    if entries.stop > len(params.bias):
        raise SimulationError(f"parameter entry {entries.stop - 1} of {len(params.bias)}")
    acc = np.zeros((npix, channels), np.int64)
    acc[pixel[:, None], channel[:, None] + np.arange(config.r)] = results

    oy, ox = pixel_positions(fields, np.arange(npix, dtype=np.int64))
    row = oy[:, None]
    lane = ox[:, None] * fields["out_c"] + fields["out_c0"] + np.arange(channels)
    skip = None
    if fields["skip_en"]:
        skip = _Map(
            base=fields["skip_base"],
            row_words=fields["skip_row_words"],
            bits=fields["skip_bits"],
            what="the residual",
        ).read(store, row, lane)
    y = requantize(
        acc,
        bias=params.bias[entries],
        m=params.m[entries],
        s=params.s[entries],
        zp=fields["zp_out"],
        lo=fields["lo"],
        hi=fields["hi"],
        skip=skip,
        zp_skip=fields["skip_zp"],
        m2=params.m2[entries],
        t=params.t[entries],
    )
    _Map(
        base=fields["out_base"],
        row_words=fields["out_row_words"],
        bits=fields["ob"],
        what="the output",
    ).write(store, row, lane, y)


def pool_stream(config: AcceleratorConfig, fields: Mapping[str, int], store: Bits) -> Ints:
    """Sums or maxima of one POOL over its windows, positions outside the map left out.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the accelerator.
    fields : mapping
        Fields of the POOL instruction.
    store : uint8, shape (2, half_words, W)
        The activation store.

    Returns
    -------
    int64, shape (beats, R)
        The result stream in its order.

    Raises
    ------
    SimulationError
        When an access leaves its half of the store.
    """
    npix, channels = fields["npix"], fields["n_groups"] * config.dm
    source = _Map(
        base=fields["in_base"],
        row_words=fields["in_row_words"],
        bits=fields["ab"],
        what="the pooled map",
    )
    oy, ox = pixel_positions(fields, np.arange(npix, dtype=np.int64))
    channel = fields["out_c0"] + np.arange(channels, dtype=np.int64)
    total = np.zeros((npix, channels), np.int64)
    for ky in range(fields["kh"]):
        for kx in range(fields["kw"]):
            iy = oy * fields["stride_y"] + fields["y0"] + ky
            ix = ox * fields["stride_x"] + fields["x0"] + kx
            there = (iy >= 0) & (iy < fields["in_h"]) & (ix >= 0) & (ix < fields["in_w"])
            lane = ix[there, None] * fields["in_c"] + channel
            value = source.read(store, iy[there, None], lane)
            if fields["pool_op"] == PoolOp.MAX:
                total[there] = np.maximum(total[there], value)
            else:
                total[there] += value
    pixel, first = beat_order(config, npix, fields["n_groups"])
    beats: Ints = total[pixel[:, None], first[:, None] + np.arange(config.r)]
    return beats
