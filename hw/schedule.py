"""Cut layers into units (groups whose weights are loaded together) and bands (runs of pixels).

A layer is one unit where the weights and parameters of the whole network fit on chip. Otherwise the
memories are used as rings, and a layer that takes more than half of one is cut by groups of output
channels, so that one unit's weights come while another's are used.

Bands let consecutive layers overlap: the next layer's first band needs only rows that earlier bands
of this one made, so its columns are gathered while this one's last band drains.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hessbit.errors import InfeasibleError
from hessbit.hw.config import AcceleratorConfig
from hessbit.hw.images import Bits, check_padding, param_image, weight_image
from hessbit.hw.ir import Compute, Conv, Graph, dilation_of, kernel_of
from hessbit.hw.isa import PARAM_BYTES
from hessbit.hw.plan import ConvShape, Place, ceil_div, op_shape, output_groups

TAIL_TILES = 6
"""Tiles of a layer's last band: what is still under way when its last column has been gathered."""


@dataclass(kw_only=True)
class Unit:
    """Groups ``group0 .. group0+groups-1`` of one operator.

    Attributes
    ----------
    bands : list of (first, last)
        Pixel ranges, one instruction each.
    weights : uint8, shape (groups, bytes), optional
        Wide words, None for a pool.
    params : uint8, shape (groups, dm * 16)
    w_base, p_base : int
        Places in the weight and the parameter memory.
    w_after, p_after : int
        The last unit that used these places before, -1 for none.
    """

    layer: int
    op: Compute
    shape: ConvShape | None
    group0: int
    groups: int
    bands: list[tuple[int, int]]
    weights: Bits | None
    params: Bits
    w_base: int = 0
    p_base: int = 0
    w_after: int = -1
    p_after: int = -1


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The units in order; whether all parameters fit at once; rows of the image loaded first."""

    units: list[Unit]
    shared_params: bool
    head_rows: int


@dataclass
class _Ring:
    """Memory used in turn; knows which unit last used the words that an allocation takes."""

    size: int
    at: int = 0
    used: list[tuple[int, int, int]] = field(default_factory=list)

    def take(self, words: int, unit: int) -> tuple[int, int]:
        """Address of ``words`` words and the unit that must be done with them (-1: none)."""
        if self.at + words > self.size:
            self.at = 0
        start, end = self.at, self.at + words
        hit = [u for a, b, u in self.used if a < end and start < b]
        self.used = [x for x in self.used if not (x[0] < end and start < x[1])]
        self.used.append((start, end, unit))
        self.at = end
        return start, max(hit, default=-1)


def schedule(
    graph: Graph, config: AcceleratorConfig, places: dict[str, Place], *, bands: bool
) -> Schedule:
    """Units and bands of every layer, with their places in weight and parameter memory.

    Raises
    ------
    InfeasibleError
        Naming the layer of which one group of channels does not fit.
    """
    x = graph.input
    head = max(1, x.h // 4)
    if not bands or x.h < 8 or head * x.w * x.c % 8:
        head = x.h
    done = {x.name: head * x.w if head < x.h else 0}  # pixels before each tensor's last band
    layers = []
    for op in graph.compute:
        shape = op_shape(config, graph, op) if isinstance(op, Conv) else None
        layers.append((op, shape, output_groups(config, graph, op)))
    all_rows = sum(shape.w_stride * groups for _, shape, groups in layers if shape is not None)
    all_entries = sum(groups for _, _, groups in layers) * config.dm
    units: list[Unit] = []
    weights, params = _Ring(config.weight_rows), _Ring(config.param_channels)
    for i, (op, shape, groups) in enumerate(layers):
        stride = 0 if shape is None else shape.w_stride
        most = min(
            groups,
            _fitting(op, config.weight_rows, all_rows, stride, "wide words of the weight memory"),
            _fitting(op, config.param_channels, all_entries, config.dm, "parameter entries"),
        )
        size = ceil_div(groups, ceil_div(groups, most))
        cut = _bands(graph, config, op, done, split=bands and most == groups)
        image, entries = _images(graph, config, places, op, shape, groups)
        for first in range(0, groups, size):
            n = min(size, groups - first)
            unit = Unit(
                layer=i, op=op, shape=shape, group0=first, groups=n, bands=cut,
                weights=None if image is None else image[first : first + n],
                params=entries[first : first + n],
            )  # fmt: skip
            if stride:
                unit.w_base, unit.w_after = weights.take(stride * n, len(units))
            unit.p_base, unit.p_after = params.take(n * config.dm, len(units))
            units.append(unit)
    return Schedule(units=units, shared_params=all_entries <= config.param_channels, head_rows=head)


def _fitting(op: Compute, limit: int, total: int, each: int, what: str) -> int:
    """Groups of ``each`` words that a unit may have in a memory of ``limit`` words."""
    if each > limit:
        hint = "use fewer weight bits, a smaller kernel or a larger memory"
        where = f"layer {op.name}: {what} for one group of channels"
        raise InfeasibleError(where, limit, each, hint)
    if total <= limit or each == 0:
        return 1 << 30
    return max(1, limit // 2 // each)


def _images(
    graph: Graph,
    config: AcceleratorConfig,
    places: dict[str, Place],
    op: Compute,
    shape: ConvShape | None,
    groups: int,
) -> tuple[Bits | None, Bits]:
    """Weights and parameters of a layer, one row a group."""
    x, lanes = graph.tensors[op.input], places[op.input].lanes_c
    weights = None
    if isinstance(op, Conv):
        assert shape is not None
        if op.bipolar and lanes > x.c:
            check_padding(graph.producer(op.input), op.name)
        weights = weight_image(config, op, shape, lanes, groups)
    params = param_image(op, x, lanes, groups * config.dm)
    return weights, params.reshape(groups, config.dm * PARAM_BYTES)


def _bands(
    graph: Graph, config: AcceleratorConfig, op: Compute, done: dict[str, int], *, split: bool
) -> list[tuple[int, int]]:
    """Pixels that need only the input's earlier bands, the middle, and a tail; fills ``done``."""
    y, x, dn = graph.tensors[op.output], graph.tensors[op.input], config.dn
    n = y.h * y.w
    done[op.output] = 0
    if not split or n < 4 * dn:
        return [(0, n)]
    ready = done[op.input] // x.w  # whole rows that the input's earlier bands make
    reach = dilation_of(op)[0] * (kernel_of(op)[0] - 1) - op.pad[0]
    free = (ready - 1 - reach) // op.stride[0] + 1 if ready > reach else 0
    early = min(max(free, 0) * y.w, n) // dn * dn
    tail = (n - min(TAIL_TILES * dn, n // 2)) // dn * dn
    if early == 0:
        points = {tail}
    elif abs(early - tail) <= 2 * dn:
        points = {min(early, tail)}
    else:
        points = {early, tail}
    cuts = [0, *sorted(p for p in points if 0 < p < n), n]
    done[op.output] = cuts[-2]
    return list(pairwise(cuts))
