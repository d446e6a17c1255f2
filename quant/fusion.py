"""Batch-norm folding and fusion of captured operators into regions.

Rules, in the order in which they are applied:

1. A batch norm folds into the convolution that feeds it, when it is that convolution's only reader.
2. A ReLU behind a max pool moves before it (both are monotone, the result is the same); a ReLU on
   values that are never negative disappears.
3. An addition belongs to the operand that is the output of a convolution or linear layer which
   nothing else reads; of two such operands, to the later one. The other operand is the skip input.
4. A ReLU belongs to the region before it, when nothing else reads that region's value.
5. A flatten is a property of the linear layer, or of the network's output, behind it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hessbit.errors import ModelError, UnsupportedError
from hessbit.quant.graph import INPUT, FloatGraph, Region

if TYPE_CHECKING:
    from hessbit.quant.capture import RawNode

Doubles = NDArray[np.float64]


def fold_batch_norm(weight: Doubles, bias: Doubles, bn: dict[str, Any]) -> tuple[Doubles, Doubles]:
    """Fold ``gamma * (y - mean) / sqrt(var + eps) + beta`` into the convolution that makes ``y``.

    Parameters
    ----------
    weight : float64, shape (C_out, C_in, KH, KW)
    bias : float64, shape (C_out,)
    bn : dict
        ``running_mean``, ``running_var``, ``eps`` and, for an affine norm, ``weight``, ``bias``.

    Returns
    -------
    tuple
        The folded weight and bias.
    """
    gain = 1 / np.sqrt(bn["running_var"] + bn["eps"])
    gain = gain * bn.get("weight", 1.0)
    shift = (bias - bn["running_mean"]) * gain + bn.get("bias", 0.0)
    return weight * gain.reshape(-1, 1, 1, 1), shift


def _users(nodes: list[RawNode], output: str) -> Counter[str]:
    count = Counter(name for n in nodes for name in n.inputs)
    count[output] += 1
    return count


def _rename(nodes: list[RawNode], old: str, new: str) -> None:
    for n in nodes:
        n.inputs = [new if i == old else i for i in n.inputs]


def _drop_dead(nodes: list[RawNode], output: str) -> list[RawNode]:
    live = {output}
    for n in reversed(nodes):
        if n.name in live:
            live.update(n.inputs)
    return [n for n in nodes if n.name in live]


def _fold(nodes: list[RawNode], output: str) -> tuple[list[RawNode], str]:
    by_name = {n.name: n for n in nodes}
    users = _users(nodes, output)
    kept = []
    for n in nodes:
        if n.op != "bn":
            kept.append(n)
            continue
        source = by_name.get(n.inputs[0])
        if source is None or source.op != "conv" or users[source.name] != 1:
            raise UnsupportedError(
                "BatchNorm2d", n.name, "it must follow a Conv2d that nothing else reads"
            )
        source.arrays["weight"], source.arrays["bias"] = fold_batch_norm(
            source.arrays["weight"], source.arrays["bias"], n.arrays
        )
        _rename(nodes, n.name, source.name)
        by_name[n.name] = source  # a second norm on top folds too
        users[source.name] = users[n.name]
        output = source.name if output == n.name else output
    return kept, output


def _settle_relus(nodes: list[RawNode], output: str) -> tuple[list[RawNode], str]:
    """Rule 2: swap ReLU and max pool, drop a ReLU on values that are never negative."""
    changed = True
    while changed:
        changed = False
        by_name, users = {n.name: n for n in nodes}, _users(nodes, output)
        positive: set[str] = set()
        for n in nodes:
            if n.op == "relu" or (
                n.op in ("maxpool", "avgpool", "flatten", "add")
                and all(i in positive for i in n.inputs)
            ):
                positive.add(n.name)
        for index, n in enumerate(nodes):
            if n.op != "relu":
                continue
            source = by_name.get(n.inputs[0])
            if n.inputs[0] in positive:
                _rename(nodes, n.name, n.inputs[0])
                output = n.inputs[0] if output == n.name else output
                del nodes[index]
            elif (
                source is not None
                and source.op in ("maxpool", "flatten")
                and users[source.name] == 1
            ):
                _rename(nodes, n.name, source.name)
                output = source.name if output == n.name else output
                n.inputs, source.inputs = list(source.inputs), [n.name]
                n.shape = n.in_shape = source.in_shape
                del nodes[index]
                nodes.insert(nodes.index(source), n)
            else:
                continue
            changed = True
            break
    return nodes, output


class _Building:
    """A region under construction: its layer, and the additions and ReLU that joined it."""

    def __init__(self, node: RawNode) -> None:
        self.node = node
        self.skip: str | None = None
        self.relu = False


def fuse(nodes: list[RawNode], output: str, in_shape: tuple[int, int, int]) -> FloatGraph:
    """Fold, fuse and name; see the rules at the head of this module.

    Raises
    ------
    UnsupportedError
        For an operator that no rule takes in.
    ModelError
        When the network has no convolution or linear layer.
    """
    nodes = _drop_dead(nodes, output)
    nodes, output = _fold(nodes, output)
    nodes, output = _settle_relus(nodes, output)
    users = _users(nodes, output)
    order = {n.name: i for i, n in enumerate(nodes)}
    regions: dict[str, _Building] = {}  # by the captured value that the region now makes
    flat: dict[str, str] = {}
    for n in nodes:
        if n.op in ("conv", "linear", "maxpool", "avgpool"):
            regions[n.name] = _Building(n)
        elif n.op == "flatten":
            flat[n.name] = n.inputs[0]
        elif n.op == "add":
            _fuse_add(n, regions, users, order)
        elif n.op == "relu":
            source = n.inputs[0]
            region = regions.get(source)
            if region is None or region.node.op not in ("conv", "linear") or users[source] != 1:
                raise UnsupportedError(
                    "ReLU",
                    n.name,
                    "it must follow a layer or a residual addition that nothing else reads",
                )
            del regions[source]
            region.relu = True
            regions[n.name] = region
    return _finish(regions, flat, output, in_shape)


def _fuse_add(
    n: RawNode, regions: dict[str, _Building], users: Counter[str], order: dict[str, int]
) -> None:
    def takes(value: str) -> bool:
        r = regions.get(value)
        return (
            r is not None
            and r.node.op in ("conv", "linear")
            and users[value] == 1
            and r.skip is None
            and not r.relu
        )

    hosts = [i for i in n.inputs if takes(i)] if n.inputs[0] != n.inputs[1] else []
    if not hosts:
        raise UnsupportedError(
            "add",
            n.name,
            "one operand must come straight from a Conv2d or Linear (with its batch "
            "norm) that nothing else reads",
        )
    host = max(hosts, key=lambda v: order[regions[v].node.name])
    other = n.inputs[0] if n.inputs[1] == host else n.inputs[1]
    region = regions.pop(host)
    region.skip = other
    regions[n.name] = region


def _finish(
    regions: dict[str, _Building], flat: dict[str, str], output: str, in_shape: tuple[int, int, int]
) -> FloatGraph:
    def tensor(value: str) -> tuple[str, bool]:
        flattened = False
        while value in flat:
            value, flattened = flat[value], True
        return (INPUT if value == INPUT else regions[value].node.name), flattened

    shapes: dict[str, tuple[int, ...]] = {INPUT: in_shape}
    pending = list(regions.values())
    done: list[Region] = []
    while pending:  # a skip may come from a region that was captured later
        ready = next(
            b
            for b in pending
            if all(tensor(v)[0] in shapes for v in (b.node.inputs[0], b.skip) if v is not None)
        )
        pending.remove(ready)
        n, source = ready.node, tensor(ready.node.inputs[0])[0]
        out_shape = n.shape if len(n.shape) == 3 or n.op == "linear" else (*n.shape, 1, 1)
        skip, flattened = tensor(ready.skip) if ready.skip else (None, False)
        if skip is not None and (flattened or shapes[skip] != out_shape):
            raise UnsupportedError("add", n.name, "a flattened residual operand is not supported")
        weight, bias = n.arrays.get("weight"), n.arrays.get("bias")
        if weight is not None and not np.all(np.isfinite(weight)):
            raise ModelError(f"{n.name}: the folded weights are not finite (batch-norm variance?)")
        done.append(
            Region(
                name=n.name,
                kind=n.op,
                input=source,
                in_shape=shapes[source],
                out_shape=out_shape,
                skip=skip,
                relu=ready.relu,
                weight=None if weight is None else weight.astype(np.float32),
                bias=None if bias is None else bias.astype(np.float32),
                **{k: v for k, v in n.attrs.items() if k in Region.__dataclass_fields__},
            )
        )
        shapes[n.name] = out_shape
    if not any(r.is_layer for r in done):
        raise ModelError("the network has no Conv2d or Linear layer: nothing to quantise")
    final, flattened = tensor(output)
    squeezed = (
        output in regions
        and len(shapes[final]) == 3
        and regions[output].node.shape == shapes[final][:1]
    )
    return FloatGraph(
        regions=tuple(done), output=final, in_shape=in_shape, flatten_output=flattened or squeezed
    )
