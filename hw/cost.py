"""Cycles of layers and networks, from shapes alone: for bit allocation and reports.

A layer's tiles pass through gather, array and requantiser at once, so a tile costs what the slowest
of them needs: ``max(pixels * chunks * (1 if ab <= 4 else 2), groups * max(steps, drain))``. A chunk
is up to W lanes of a kernel row; the drain of a group takes ``Dm * Dn / R`` beats. The constants
below are the fill and drain of the pipelines.
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

LAYER_CYCLES = 60
"""Fill of gather, array and requantiser where a layer cannot overlap its predecessor."""
BAND_CYCLES = 12
"""Start of an instruction whose operands are ready."""
PIXEL_CYCLES = 0
"""Cycles that gather spends on a pixel besides its chunks."""
READ_LATENCY = 40
"""Cycles from a read request to the first beat of DDR."""


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
    gather = pixels * (chunks * (1 if shape.ab <= 4 else 2) + PIXEL_CYCLES)
    drain = ceil_div(config.dm * pixels, config.r)
    array = groups * max(shape.steps, drain)
    if gather > array:
        return gather, "gather"
    return array, "array" if shape.steps >= drain else "drain"


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
    load_at = READ_LATENCY + ceil_div(x.h * x.w * x.c, 8)
    now, costs = 0, []
    finish: list[int] = []
    for i, unit in enumerate(program.units):
        beats = unit.params.size // 8 + (0 if unit.weights is None else unit.weights.size // 8)
        behind = finish[i - 3] if i >= 3 else 0  # LOAD runs at most about three units ahead
        load_at = max(load_at, behind) + beats + READ_LATENCY
        cycles, bound = _unit_cycles(config, unit)
        start = max(now, load_at)
        end = start + cycles
        waited = start - now
        finish.append(end)
        costs.append((unit, end - now, "load" if waited > cycles else bound))
        now = end
    return _by_layer(graph, config, costs)


def _unit_cycles(config: AcceleratorConfig, unit: Unit) -> tuple[int, str]:
    total, bound = LAYER_CYCLES if len(unit.bands) == 1 else 0, "pool"
    for first, last in unit.bands:
        if unit.shape is None:
            cycles = pool_cycles(config, unit.op, last - first, unit.groups)
        else:
            cycles, bound = conv_cycles(config, unit.shape, last - first, unit.groups)
        total += cycles + BAND_CYCLES
    return total, bound


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
    "predict",
]
