"""Twin of hb_walk: every position of an instruction, from the pixel numbers of beat_order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hessbit.hw.config import AcceleratorConfig
from hessbit.sim.units import beat_order


@dataclass(frozen=True)
class Walk:
    """Fields of one instruction; a sum is (at the first pixel, at column 0, per step)."""

    npix: int
    n_groups: int
    out_w: int
    ox0: int
    y: Sequence[tuple[int, int]]
    x: Sequence[tuple[int, int, int]]


@dataclass(frozen=True)
class Position:
    """What the walker shows for one beat."""

    y: tuple[int, ...]
    x: tuple[int, ...]
    channel: int
    last_slice: bool
    last: bool


def sizes(dm: int, dn: int, r: int) -> AcceleratorConfig:
    """A configuration with this order of beats; the memories do not matter."""
    return AcceleratorConfig(
        name="test", dm=dm, dn=dn, k=8 * dm, r=r,
        act_rows=128, weight_rows=16, col_rows=4, param_channels=128,
    )  # fmt: skip


def positions(dm: int, dn: int, r: int, walk: Walk, y_bits: int, x_bits: int) -> list[Position]:
    """All positions in order, the sums by multiplication from the place of the pixel."""
    out = []
    pixels, channels = beat_order(sizes(dm, dn, r), walk.npix, walk.n_groups)
    for i, (pixel, channel) in enumerate(zip(pixels.tolist(), channels.tolist(), strict=True)):
        row, column = divmod(walk.ox0 + pixel, walk.out_w)
        y = (init + row * step for init, step in walk.y)
        if row:
            x = [first + column * step for _, first, step in walk.x]
        else:
            x = [init + (column - walk.ox0) * step for init, _, step in walk.x]
        out.append(
            Position(
                y=tuple(v % (1 << y_bits) for v in y),
                x=tuple(v % (1 << x_bits) for v in x),
                channel=channel,
                last_slice=channel % dm == dm - r,
                last=i == len(pixels) - 1,
            )
        )
    return out
