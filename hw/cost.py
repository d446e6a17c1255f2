"""Cycles of layers and networks, from shapes alone: for bit allocation and reports.

A layer's tiles pass through gather, array and requantiser at once. Gathering a tile takes
``pixels * chunks * (1 if ab <= 4 else 2)`` cycles, where a chunk is up to W lanes of a kernel row;
computing it ``groups * max(steps, drain)``, where a group's drain takes ``pixels * Dm / R`` beats.
There are two tile buffers, so a tile costs the larger of the two, or half of both and the hand-over
together. The constants were fitted to simulations of the RTL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hessbit.errors import InfeasibleError
from hessbit.geometry import LayerGeometry
from hessbit.hw.config import PACK_LANES, AcceleratorConfig
from hessbit.hw.emit import Program
from hessbit.hw.ir import Compute, Conv, Graph, kernel_of
from hessbit.hw.plan import ConvShape, ceil_div, conv_shape, pad_to
from hessbit.hw.schedule import Unit

LAYER_CYCLES = 36
"""Fill of gather, array and requantiser where a layer cannot overlap its predecessor."""
POOL_CYCLES = 22
"""The same of a pool."""
BAND_CYCLES = 6
"""Start of a further instruction whose operands are ready."""
HANDOVER_CYCLES = 14
"""From the release of a tile buffer to its next contents, besides gathering and computing."""
LOAD_CYCLES = 45
"""Of a LOAD besides its beats: the latency of DDR and the start of the engine."""
START_CYCLES = 60
"""From start to the first LOAD."""
STORE_CYCLES = 46
"""Of a STORE besides its beats."""
AHEAD = 5
"""Units that loads run ahead of computing."""


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """Predicted cost of one layer.

    Attributes
    ----------
    name : str
    cycles : int
        From its first to its last result, including waits for its weights.
    bound : str
        What limits it: "array", "gather", "drain", "pool" or "load".
    binary_ops : int
        ``MACs * wb * ab``.
    utilisation : float
        Binary operations over those that the array could do in these cycles.
    """

    name: str
    cycles: int
    bound: str
    binary_ops: int
    utilisation: float


def tile_cycles(
    config: AcceleratorConfig, shape: ConvShape, pixels: int, groups: int
) -> tuple[int, str]:
    """Cycles of one tile and what limits it."""
    chunks = shape.kh * shape.n_seg * ceil_div(shape.seg_lanes, config.word)
    gather = pixels * chunks * (1 if shape.ab <= 4 else 2)
    drain = ceil_div(config.dm * pixels, config.r)
    array = groups * max(shape.steps, drain)
    rows = ceil_div(shape.ab, 4) * shape.kwords
    buffers = 4 if rows <= config.col_rows // 4 else 2
    both = ceil_div(gather + array + HANDOVER_CYCLES, buffers)
    bound = "gather" if gather > array else "array" if shape.steps >= drain else "drain"
    return max(gather, array, both), bound


def conv_cycles(
    config: AcceleratorConfig, shape: ConvShape, pixels: int, groups: int
) -> tuple[int, str]:
    """Cycles of all tiles of one CONV instruction, without fill, and what limits them."""
    full, rest = divmod(pixels, config.dn)
    each, bound = tile_cycles(config, shape, config.dn, groups)
    total = full * each
    if rest:
        last, limit = tile_cycles(config, shape, rest, groups)
        total, bound = total + last, bound if full else limit
    return total, bound


def layer_cycles(
    config: AcceleratorConfig, geometry: LayerGeometry, wb: int, ab: int, ob: int = 8
) -> int:
    """Cycles of a convolution or fully connected layer.

    Loading the weights counts only where they exceed the weight memory: else they come while the
    layers before compute.

    Parameters
    ----------
    config : AcceleratorConfig
    geometry : LayerGeometry
        Channels count as padded to 16, except an input of at most 4 (an image).
    wb, ab, ob : int
        Weight, activation and output bits.

    Raises
    ------
    InfeasibleError
        When the layer does not fit the column or weight memory.
    """
    lanes = geometry.c_in if geometry.c_in <= 4 else pad_to(geometry.c_in, PACK_LANES)
    shape = conv_shape(
        config,
        name=geometry.name,
        kernel=(geometry.kh, geometry.kw),
        dilation_x=1,
        lanes_c=lanes,
        ab=ab,
        wb=wb,
    )
    if shape.w_stride > config.weight_rows:
        raise InfeasibleError(
            f"layer {geometry.name}: wide words of the weight memory",
            config.weight_rows,
            shape.w_stride,
        )
    groups = ceil_div(geometry.c_out, config.dm)
    cycles, _ = conv_cycles(config, shape, geometry.h_out * geometry.w_out, groups)
    if groups * shape.w_stride > config.weight_rows:
        cycles = max(cycles, groups * shape.w_stride * config.weight_row_bytes // 8)
    return cycles + LAYER_CYCLES


def cycle_table(
    config: AcceleratorConfig,
    geometries: Iterable[LayerGeometry],
    options: Sequence[int] = tuple(range(1, 9)),
) -> dict[tuple[str, int, int], int]:
    """:func:`layer_cycles` for every layer, weight and activation bits that fit the memories."""
    table = {}
    for g in geometries:
        for wb in options:
            for ab in options:
                try:
                    table[g.name, wb, ab] = layer_cycles(config, g, wb, ab)
                except InfeasibleError:
                    continue
    return table


def outside_cycles(
    config: AcceleratorConfig,
    *,
    image_bytes: int,
    pools: Iterable[tuple[int, int, int]],
    output: tuple[int, int],
) -> int:
    """Cycles of a run that no choice of bits changes: start, image, pools and the final STORE.

    Parameters
    ----------
    config : AcceleratorConfig
    image_bytes : int
        Of one input image.
    pools : iterable of (int, int, int)
        Output pixels, channels and taps of every pool.
    output : (int, int)
        Pixels and channels of the network's output.
    """
    total = START_CYCLES + 3 * LOAD_CYCLES + ceil_div(image_bytes, 8)
    for pixels, channels, taps in pools:
        slices = pad_to(channels, PACK_LANES) // config.r
        total += pixels * slices * taps + POOL_CYCLES
    pixels, channels = output
    return total + pixels * pad_to(channels, PACK_LANES) // 8 + STORE_CYCLES


def pool_cycles(config: AcceleratorConfig, op: Compute, pixels: int, groups: int) -> int:
    """Cycles of a POOL instruction: one read for each tap of each R-lane slice."""
    kh, kw = kernel_of(op)
    return pixels * groups * (config.dm // config.r) * kh * kw


def predict(graph: Graph, config: AcceleratorConfig, program: Program) -> list[LayerCost]:
    """Cost of every layer of a compiled network, in order.

    Layers follow each other; each unit of a layer starts when its predecessor is done (bands
    overlap the fill) and its weights have come. Loads run ahead, one after another, a beat a cycle.
    """
    x = graph.input
    load_at = START_CYCLES + LOAD_CYCLES + ceil_div(x.h * x.w * x.c, 8)
    now, costs = 0, []
    finish: list[int] = []
    for i, unit in enumerate(program.units):
        beats = [unit.params.size // 8] + ([] if unit.weights is None else [unit.weights.size // 8])
        behind = finish[i - AHEAD] if i >= AHEAD else 0
        load_at = max(load_at, behind) + sum(n + LOAD_CYCLES for n in beats)
        cycles, bound = _unit_cycles(config, unit)
        end = max(now, load_at) + cycles
        finish.append(end)
        costs.append((unit, end - now, "load" if load_at - now > cycles else bound))
        now = end
    return _by_layer(graph, config, costs)


def _unit_cycles(config: AcceleratorConfig, unit: Unit) -> tuple[int, str]:
    pool = unit.shape is None
    if len(unit.bands) > 1:
        total, bound = BAND_CYCLES * len(unit.bands), "pool"
    else:
        total, bound = POOL_CYCLES if pool else LAYER_CYCLES, "pool"
    for first, last in unit.bands:
        if unit.shape is None:
            cycles = pool_cycles(config, unit.op, last - first, unit.groups)
        else:
            cycles, bound = conv_cycles(config, unit.shape, last - first, unit.groups)
        total += cycles
    return total, bound


def store_cycles(graph: Graph) -> int:
    """Cycles of the final STORE."""
    y = graph.output
    return y.h * y.w * pad_to(y.c, PACK_LANES) // 8 + STORE_CYCLES


def binary_ops(graph: Graph, op: Compute) -> int:
    """``MACs * wb * ab`` of a convolution, 0 of a pool."""
    if not isinstance(op, Conv):
        return 0
    y = graph.tensors[op.output]
    return y.h * y.w * op.weights.size * op.weight_bits * graph.tensors[op.input].bits


def _by_layer(
    graph: Graph, config: AcceleratorConfig, costs: list[tuple[Unit, int, str]]
) -> list[LayerCost]:
    result = []
    for i, op in enumerate(graph.compute):
        mine = [(cycles, bound) for unit, cycles, bound in costs if unit.layer == i]
        cycles = sum(c for c, _ in mine)
        ops = binary_ops(graph, op)
        peak = cycles * config.dm * config.dn * config.k
        result.append(
            LayerCost(
                name=op.name,
                cycles=cycles,
                bound=mine[0][1],
                binary_ops=ops,
                utilisation=ops / peak,
            )
        )
    return result


__all__ = [
    "LayerCost",
    "binary_ops",
    "conv_cycles",
    "cycle_table",
    "layer_cycles",
    "outside_cycles",
    "predict",
]
