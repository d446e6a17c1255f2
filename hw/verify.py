"""The rules of the IR, checked after the front end and after every pass."""

from __future__ import annotations

import numpy as np

from hessbit.errors import NumericsError, PassError
from hessbit.hw.ir import Compute, Constants, Conv, Graph, Input, Output, Tensor, output_size, reads
from hessbit.numerics import (
    ACC_MAX,
    MULTIPLIER_BITS,
    RELATIVE_ERROR_MAX,
    SHIFT_MAX,
    SKIP_SHIFT_MAX,
    SUM_BITS,
    check_accumulator,
)


def verify(graph: Graph, stage: str) -> Graph:
    """Check every rule and return ``graph``.

    Parameters
    ----------
    graph : Graph
    stage : str
        The pass that made it, for the message.

    Raises
    ------
    PassError
        Naming the pass, the operator or tensor and the rule.
    NumericsError
        When a layer's accumulator could overflow.
    """
    _structure(graph, stage)
    for tensor in graph.tensors.values():
        _tensor(tensor, stage)
    for op in graph.compute:
        _compute(graph, op, stage)
    return graph


def _need(ok: bool, stage: str, where: str, rule: str) -> None:
    if not ok:
        raise PassError(f"pass {stage} broke the IR at {where}: {rule}")


def _structure(graph: Graph, stage: str) -> None:
    made: set[str] = set()
    inputs = [op for op in graph.ops if isinstance(op, Input)]
    outputs = [op for op in graph.ops if isinstance(op, Output)]
    _need(len(inputs) == 1 and len(outputs) == 1, stage, graph.name, "one input and one output")
    seen: set[str] = set()
    for op in graph.ops:
        _need(op.name not in seen, stage, op.name, "operator names are unique")
        seen.add(op.name)
        for name in reads(op):
            _need(name in made, stage, op.name, f"reads {name!r} before it is made")
        if not isinstance(op, Output):
            _need(op.output not in made, stage, op.name, f"makes {op.output!r} a second time")
            _need(op.output in graph.tensors, stage, op.name, f"{op.output!r} has no type")
            made.add(op.output)
    _need(set(graph.tensors) == made, stage, graph.name, "every tensor is made by one operator")
    used = {name for op in graph.ops for name in reads(op)}
    _need(made <= used, stage, graph.name, f"nothing reads {sorted(made - used)}")
    for name, tensor in graph.tensors.items():
        _need(name == tensor.name, stage, name, "is stored under another name")


def _tensor(t: Tensor, stage: str) -> None:
    _need(min(t.h, t.w, t.c) >= 1, stage, t.name, f"empty shape {t.shape}")
    _need(1 <= t.bits <= 8, stage, t.name, f"{t.bits} bits, 1..8 are allowed")
    _need(np.isfinite(t.scale) and t.scale > 0, stage, t.name, f"scale {t.scale}")
    _need(0 <= t.zero_point <= 255, stage, t.name, f"zero point {t.zero_point} outside 0..255")


def _constants(k: Constants, channels: int, out: Tensor, stage: str, name: str) -> None:
    for field in ("m", "s", "m2", "t", "bias"):
        a = getattr(k, field)
        ok = a.shape == (channels,) and a.dtype == np.int64
        _need(ok, stage, name, f"constant {field} is {a.dtype} {a.shape}, not int64 ({channels},)")
    limit = 1 << MULTIPLIER_BITS
    _need(bool(np.all((k.m >= 0) & (k.m < limit))), stage, name, "multiplier m leaves 16 bits")
    _need(bool(np.all((k.m2 >= 0) & (k.m2 < limit))), stage, name, "multiplier m2 leaves 16 bits")
    _need(
        bool(np.all((k.s >= 1) & (k.s <= SHIFT_MAX))), stage, name, f"shift s leaves 1..{SHIFT_MAX}"
    )
    ok = bool(np.all((k.t >= 0) & (k.t <= SKIP_SHIFT_MAX)))
    _need(ok, stage, name, f"shift t leaves 0..{SKIP_SHIFT_MAX}")
    _need(
        0 <= k.lo <= k.hi < (1 << out.bits), stage, name, f"clamp {k.lo}..{k.hi} in {out.bits} bits"
    )
    _need(k.zp == out.zero_point, stage, name, "zero point differs from the output tensor's")
    error = float(np.max(np.abs(np.ldexp(k.m.astype(np.float64), -k.s) / k.ratio - 1)))
    if k.skip_ratio is not None:
        got = np.ldexp(k.m2.astype(np.float64), k.t - k.s)
        error = max(error, float(np.max(np.abs(got / k.skip_ratio - 1))))
        worst = 255 * int((k.m2 << k.t).max()) + (ACC_MAX + 1) * int(k.m.max()) + (1 << SHIFT_MAX)
        _need(worst < 1 << (SUM_BITS - 1), stage, name, f"the sum could leave {SUM_BITS} bits")
    _need(error <= RELATIVE_ERROR_MAX, stage, name, f"multiplier off by {error:.2e}")


def _compute(graph: Graph, op: Compute, stage: str) -> None:
    x, y = graph.tensors[op.input], graph.tensors[op.output]
    _need(min(op.pad) >= 0 and min(op.stride) >= 1, stage, op.name, "pad below 0 or stride below 1")
    _need(output_size(op, x.h, x.w) == (y.h, y.w), stage, op.name, f"output is not {y.h}x{y.w}")
    _constants(op.constants, y.c, y, stage, op.name)
    if op.skip is not None:
        skip = graph.tensors[op.skip]
        _need(skip.shape == y.shape, stage, op.name, f"residual {skip.shape} for output {y.shape}")
    _need((op.skip is None) == (op.constants.skip_ratio is None), stage, op.name, "residual scale")
    top = (1 << x.bits) - 1
    if isinstance(op, Conv):
        w, b = op.weights, op.weight_bits
        _need(w.ndim == 4 and w.dtype == np.int64, stage, op.name, "weights are not 4-D int64")
        _need(w.shape[0] == y.c and w.shape[3] == x.c, stage, op.name, f"weights {w.shape}")
        _need(min(op.dilation) >= 1, stage, op.name, "dilation below 1")
        if op.bipolar:
            _need(
                b == 1 and bool(np.all(np.abs(w) == 1)),
                stage,
                op.name,
                "bipolar weights are -1, +1",
            )
        else:
            _need(2 <= b <= 8, stage, op.name, f"{b} weight bits, 2..8 or bipolar")
            low, high = -(1 << (b - 1)), (1 << (b - 1)) - 1
            ok = low <= int(w.min()) and int(w.max()) <= high
            _need(ok, stage, op.name, f"weights leave {low}..{high}")
        check_accumulator(w, op.constants.bias, act_lo=0, act_hi=top, name=op.name)
        if op.bipolar:  # the array sums {0,1} weights, then doubles
            total = 2 * (w[0].size + 16 * w.shape[1] * w.shape[2]) * top
            if total > ACC_MAX:
                raise NumericsError(
                    f"{op.name}: the accumulator could reach {total}; split the layer"
                )
    else:
        _need(op.op in ("sum", "max"), stage, op.name, f"pool {op.op!r}")
        _need(x.c == y.c, stage, op.name, "channels differ")
        ones = np.ones((y.c, *(op.kernel if op.op == "sum" else (1, 1))), np.int64)
        check_accumulator(ones, op.constants.bias, act_lo=0, act_hi=top, name=op.name)
