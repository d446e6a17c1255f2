"""Plan a network on the accelerator: layer shapes, lane modes and places in activation memory."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hessbit.errors import InfeasibleError
from hessbit.hw.config import PACK_LANES, AcceleratorConfig
from hessbit.hw.ir import Compute, Conv, Graph, Input, Op, Tensor, kernel_of, reads

_TRIALS = 400


def ceil_div(a: int, b: int) -> int:
    """``a / b`` rounded up."""
    return -(-a // b)


def pad_to(a: int, b: int) -> int:
    """``a`` rounded up to a multiple of ``b``."""
    return ceil_div(a, b) * b


@dataclass(frozen=True, kw_only=True)
class ConvShape:
    """How a convolution runs on the array; fields as in the CONV instruction."""

    kh: int
    n_seg: int
    seg_lanes: int
    seg_step: int
    kwords: int
    ab: int
    wb: int
    lane_mode: int
    w_stride: int
    steps: int
    """Array steps for one tile and one group."""


def conv_shape(
    config: AcceleratorConfig,
    *,
    name: str,
    kernel: tuple[int, int],
    dilation_x: int,
    lanes_c: int,
    ab: int,
    wb: int,
) -> ConvShape:
    """Segments, column and the cheaper lane mode of a convolution.

    Raises
    ------
    InfeasibleError
        When one pixel's column does not fit the column memory.
    """
    kh, kw = kernel
    n_seg = kw if dilation_x > 1 else 1
    seg_lanes = lanes_c if dilation_x > 1 else kw * lanes_c
    kwords = ceil_div(kh * n_seg * pad_to(seg_lanes, PACK_LANES), config.word)
    have, need = config.col_rows // 2, ceil_div(ab, 4) * kwords
    if need > have:
        hint = "4 activation bits or fewer" if ab > 4 and kwords <= have else "fewer input channels"
        raise InfeasibleError(
            f"layer {name}: rows of the column memory", have, need, f"{hint} or a larger col_rows"
        )
    pairs = ceil_div(ab, 2)
    kp = ceil_div(kwords, 2)
    steps = (wb * ab * kp, wb * pairs * kwords + (pairs - 1 if wb == 1 else 0))
    mode = int(steps[1] < steps[0])
    return ConvShape(
        kh=kh,
        n_seg=n_seg,
        seg_lanes=seg_lanes,
        seg_step=dilation_x * lanes_c if n_seg > 1 else 0,
        kwords=kwords,
        ab=ab,
        wb=wb,
        lane_mode=mode,
        w_stride=wb * kp if mode == 0 else ceil_div(wb * kwords, 2),
        steps=steps[mode],
    )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a map lies: half, word offset in it, words of a row, words in all, lanes of a pixel."""

    half: int
    offset: int
    row_words: int
    words: int
    lanes_c: int

    @property
    def address(self) -> int:
        """The 16-bit word address."""
        return self.half << 15 | self.offset

    def overlaps(self, other: Place) -> bool:
        """Whether the two share a word."""
        return (
            self.half == other.half
            and self.offset < other.offset + other.words
            and other.offset < self.offset + self.words
        )


def lanes_of(graph: Graph, tensor: Tensor) -> int:
    """Lanes of a pixel: true channels for the input image, padded ones for maps made on chip."""
    return tensor.c if tensor.name == graph.input.name else pad_to(tensor.c, PACK_LANES)


def map_words(config: AcceleratorConfig, tensor: Tensor, lanes_c: int) -> tuple[int, int]:
    """Words of a row and of the whole map."""
    row = ceil_div(tensor.w * lanes_c, config.word) * tensor.bits
    return row, row * tensor.h


def op_shape(config: AcceleratorConfig, graph: Graph, op: Conv) -> ConvShape:
    """:func:`conv_shape` of an operator."""
    x = graph.tensors[op.input]
    return conv_shape(
        config,
        name=op.name,
        kernel=kernel_of(op),
        dilation_x=op.dilation[1],
        lanes_c=lanes_of(graph, x),
        ab=x.bits,
        wb=op.weight_bits,
    )


def output_groups(config: AcceleratorConfig, graph: Graph, op: Compute) -> int:
    """Groups of output channels that ``op`` computes.

    A bipolar consumer counts its padding lanes as -1, so its input's padding channels must hold the
    zero point: they are computed like the others. Elsewhere they may hold anything.
    """
    readers = graph.readers(op.output)
    full = any(isinstance(r, Conv) and r.bipolar and r.input == op.output for r in readers)
    c = graph.tensors[op.output].c
    return ceil_div(pad_to(c, PACK_LANES) if full else c, config.dm)


def live_ranges(graph: Graph) -> dict[str, tuple[int, int]]:
    """First and last operator (by index) at which each tensor must be in memory."""
    ranges: dict[str, tuple[int, int]] = {}
    for i, op in enumerate(graph.ops):
        for name in reads(op):
            ranges[name] = (ranges[name][0], i)
        if isinstance(op, Input | Compute):
            ranges[op.output] = (i, i)
    return ranges


def allocate(graph: Graph, config: AcceleratorConfig) -> dict[str, Place]:
    """Place every tensor in the activation store.

    Tensors that live at the same time do not overlap. The input and the residual of one operator go
    to different halves where that is possible, because a half has one read port. Halves are tried
    at random (with a fixed seed) and the placement with the fewest shared halves is kept.

    Raises
    ------
    InfeasibleError
        Naming the layer at which the maps need the most memory.
    """
    live = live_ranges(graph)
    sizes = {}
    for name, t in graph.tensors.items():
        lanes = lanes_of(graph, t)
        sizes[name] = (*map_words(config, t, lanes), lanes)
    _check_peak(graph, config, live, {k: v[1] for k, v in sizes.items()})
    pairs = [
        (op.input, op.skip) for op in graph.compute if op.skip is not None and op.skip != op.input
    ]
    rng = random.Random(0)
    order = sorted(sizes, key=lambda n: live[n][0])
    by_size = sorted(sizes, key=lambda n: -sizes[n][1])
    best: tuple[int, dict[str, Place]] | None = None
    for trial in range(_TRIALS):
        halves = {n: i & 1 if trial < 2 else rng.randrange(2) for i, n in enumerate(order)}
        shared = sum(halves[a] == halves[b] for a, b in pairs)
        if best is not None and shared >= best[0]:
            continue
        places = _place(
            order if trial % 2 == 0 else by_size, halves, sizes, live, config.half_words
        )
        if places is not None:
            shared = sum(places[a].half == places[b].half for a, b in pairs)
            if best is None or shared < best[0]:
                best = (shared, places)
            if shared == 0:
                break
    if best is None:
        words = sum(v[1] for v in sizes.values())
        raise InfeasibleError(
            f"{graph.name}: activation store words in two halves",
            2 * config.half_words,
            words,
            "the maps do not pack; use fewer activation bits or more act_rows",
        )
    return best[1]


def _check_peak(
    graph: Graph, config: AcceleratorConfig, live: dict[str, tuple[int, int]], words: dict[str, int]
) -> None:
    hint = "use fewer activation bits, a smaller input or more act_rows"
    for i, op in enumerate(graph.ops):
        here = [n for n, (a, b) in live.items() if a <= i <= b]
        for n in here:
            if words[n] > config.half_words:
                raise InfeasibleError(
                    f"layer {op.name}: words of one half of the activation store for {n!r}",
                    config.half_words,
                    words[n],
                    hint,
                )
        need = sum(words[n] for n in here)
        if need > 2 * config.half_words:
            raise InfeasibleError(
                f"layer {op.name}: words of the activation store", 2 * config.half_words, need, hint
            )


def _place(
    order: list[str],
    halves: dict[str, int],
    sizes: dict[str, tuple[int, int, int]],
    live: dict[str, tuple[int, int]],
    room: int,
) -> dict[str, Place] | None:
    """First fit of every tensor into its half, else the other half; None if neither has room."""
    places: dict[str, Place] = {}
    for name in order:
        row_words, words, lanes = sizes[name]
        first, last = live[name]
        for half in (halves[name], 1 - halves[name]):
            taken = sorted(
                (p.offset, p.offset + p.words)
                for n, p in places.items()
                if p.half == half and live[n][0] <= last and first <= live[n][1]
            )
            at = 0
            for start, end in taken:
                if at + words <= start:
                    break
                at = max(at, end)
            if at + words <= room:
                places[name] = Place(
                    half=half, offset=at, row_words=row_words, words=words, lanes_c=lanes
                )
                break
        else:
            return None
        halves[name] = half
    return places


__all__ = [
    "ConvShape",
    "Op",
    "Place",
    "allocate",
    "ceil_div",
    "conv_shape",
    "lanes_of",
    "live_ranges",
    "map_words",
    "op_shape",
    "output_groups",
    "pad_to",
]
