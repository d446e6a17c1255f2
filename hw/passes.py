"""Passes over the IR; the verifier runs after each and names the one that broke a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hessbit.hw.config import PACK_LANES
from hessbit.hw.ir import Conv, Graph, Input, Op, Output, Pool, reads
from hessbit.hw.lower import identity
from hessbit.hw.verify import verify

Pass = Callable[[Graph], Graph]


def remove_dead(graph: Graph) -> Graph:
    """Drop operators whose output nothing reads."""
    needed: set[str] = set()
    kept: list[Op] = []
    for op in reversed(graph.ops):
        if isinstance(op, Output | Input) or op.output in needed:
            needed.update(reads(op))
            kept.append(op)
    return graph.with_ops(kept[::-1])


def remove_identity(graph: Graph) -> Graph:
    """Drop 1x1 maxima without residual that keep every stored value."""
    alias: dict[str, str] = {}
    kept: list[Op] = []
    for old in graph.ops:
        op = _renamed(old, alias)
        if isinstance(op, Pool) and op.skip is None and (*op.kernel, *op.stride) == (1, 1, 1, 1):
            x, y, k = graph.tensors[op.input], graph.tensors[op.output], op.constants
            same = replace(x, name=y.name) == y and not any(op.pad)
            if same and np.all(k.ratio == 1) and k.lo == 0 and k.hi == (1 << x.bits) - 1:
                alias[op.output] = op.input
                continue
        kept.append(op)
    return graph.with_ops(kept)


def _renamed(op: Op, alias: dict[str, str]) -> Op:
    if isinstance(op, Input):
        return op
    if isinstance(op, Output) or op.skip is None:
        return replace(op, input=alias.get(op.input, op.input))
    return replace(op, input=alias.get(op.input, op.input), skip=alias.get(op.skip, op.skip))


def pad_input(graph: Graph) -> Graph:
    """Copy the input image to a map with padded channels where a pool or residual reads it.

    The image lies in memory with its true channels, which only a convolution can read. The copy is
    a 1x1 convolution with the identity matrix.
    """
    x = graph.input
    if x.c % PACK_LANES == 0:
        return graph
    name = f"{x.name}.map"
    alias = {x.name: name}

    def direct(op: Op) -> bool:
        return isinstance(op, Input) or (isinstance(op, Conv) and op.input == x.name)

    def fixed(op: Op) -> Op:
        if direct(op):
            if isinstance(op, Conv) and op.skip == x.name:
                return replace(op, skip=name)
            return op
        return _renamed(op, alias)

    if all(
        x.name not in reads(op) or (direct(op) and getattr(op, "skip", "") != x.name)
        for op in graph.ops
    ):
        return graph
    copy = Conv(
        name=name,
        input=x.name,
        output=name,
        weights=np.eye(x.c, dtype=np.int64)[:, None, None, :],
        weight_bits=2,
        bipolar=False,
        stride=(1, 1),
        pad=(0, 0, 0, 0),
        dilation=(1, 1),
        constants=identity(x),
    )
    ops: list[Op] = []
    for op in graph.ops:
        ops.append(fixed(op))
        if isinstance(op, Input):
            ops.append(copy)
    return graph.with_ops(ops, graph.tensors | {name: replace(x, name=name)})


PASSES: tuple[Pass, ...] = (remove_dead, remove_identity, pad_input)


def run_passes(graph: Graph, passes: tuple[Pass, ...] = PASSES) -> Graph:
    """Verify the front end's graph, then run every pass and verify after it.

    Raises
    ------
    PassError
        Naming the pass after which the graph breaks a rule.
    NumericsError
        When a layer's accumulator could overflow.
    """
    verify(graph, "frontend")
    for step in passes:
        graph = verify(step(graph), step.__name__)
    return graph
