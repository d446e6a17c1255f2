"""Random networks in the compiler's IR: every operator form, small enough to simulate."""

from __future__ import annotations

import random

import numpy as np

from hessbit.hw.ir import Constants, Conv, Graph, Input, Op, Output, Pool, Tensor, output_size
from hessbit.hw.passes import run_passes
from hessbit.numerics import dyadic


def constants(
    rng: np.random.Generator, op_fan: float, x: Tensor, y: Tensor, skip: Tensor | None
) -> Constants:
    """Requantisation that spreads sums of about ``op_fan`` over the output's range."""
    top = 2**y.bits - 1
    ratio = top / op_fan * rng.uniform(0.5, 2.0, y.c)
    skip_ratio = None if skip is None else float(top / (2**skip.bits - 1) * rng.uniform(0.3, 1.0))
    d = dyadic(ratio, skip_ratio)
    lo = int(rng.integers(0, y.zero_point + 1)) if rng.random() < 0.5 else 0
    bias = rng.integers(-int(op_fan) // 2 - 1, int(op_fan) // 2 + 2, y.c)
    return Constants(
        m=d.m, s=d.s, m2=d.m2, t=d.t, bias=bias.astype(np.int64), zp=y.zero_point, lo=min(lo, top),
        hi=top, ratio=ratio, skip_ratio=skip_ratio,
    )  # fmt: skip


def random_graph(seed: int, *, layers: int = 4, max_bits: int = 8, max_c: int = 40) -> Graph:
    """A network of ``layers`` operators with random shapes, bits, kernels, residuals and pools."""
    rng, pick = np.random.default_rng(seed), random.Random(seed)

    def tensor(name: str, h: int, w: int, c: int) -> Tensor:
        bits = pick.randint(1, max_bits)
        return Tensor(
            name=name, h=h, w=w, c=c, bits=bits, scale=1.0,
            zero_point=int(rng.integers(0, 2**bits)) if pick.random() < 0.5 else 0,
        )  # fmt: skip

    x = tensor("t0", pick.randint(3, 9), pick.randint(3, 9), pick.choice((1, 3, 4, 16, max_c)))
    tensors, ops = {"t0": x}, list[Op]([Input(name="input", output="t0")])
    for i in range(1, layers + 1):
        kind = pick.choice(("conv", "conv", "conv", "pool")) if i > 1 else "conv"
        if i == layers and pick.random() < 0.5:
            kind = "fc"
        kernel = (pick.choice((1, 2, 3, 3)), pick.choice((1, 2, 3, 3)))
        stride = (pick.choice((1, 1, 2)), pick.choice((1, 1, 2)))
        dilation = (1, 1)
        pad = (*(pick.randint(0, k - 1) for k in kernel), *(pick.randint(0, k - 1) for k in kernel))
        if kind == "fc":
            kernel, stride, pad = (x.h, x.w), (1, 1), (0, 0, 0, 0)
        elif kind == "conv" and pick.random() < 0.2:
            dilation = (pick.choice((1, 2)), 2)
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        if x.h + pad[0] + pad[2] < reach[0] or x.w + pad[1] + pad[3] < reach[1]:
            kernel, dilation, pad = (1, 1), (1, 1), (0, 0, 0, 0)
        c = x.c if kind == "pool" else pick.choice((1, 5, 10, 16, 20, 32, max_c))
        name = f"t{i}"
        draft = dict(name=f"op{i}", input=x.name, output=name, stride=stride, pad=pad)
        if kind == "pool":
            op: Op = Pool(**draft, op=pick.choice(("sum", "max")), kernel=kernel, constants=None)
        else:
            bipolar = pick.random() < 0.2
            bits = 1 if bipolar else pick.randint(2, max(2, max_bits))
            shape = (c, *kernel, x.c)
            weights = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), shape)
            if bipolar:
                weights = rng.integers(0, 2, shape) * 2 - 1
            op = Conv(
                **draft, weights=weights.astype(np.int64), weight_bits=bits, bipolar=bipolar,
                dilation=dilation, constants=None,
            )  # fmt: skip
        h, w = output_size(op, x.h, x.w)
        y = tensor(name, h, w, c)
        fits = [t for t in tensors.values() if t.shape == y.shape and t.name != "t0"]
        skip = pick.choice(fits) if fits and pick.random() < 0.6 else None
        if isinstance(op, Conv):
            deviation = np.sqrt(op.weights[0].size) * (2 ** (op.weight_bits - 1)) * 2**x.bits / 3
        else:
            deviation = 2.0**x.bits * (kernel[0] * kernel[1] if op.op == "sum" else 1)
        k = constants(rng, max(2.0, deviation), x, y, skip)
        fields = {f: getattr(op, f) for f in op.__dataclass_fields__}
        op = type(op)(**(fields | {"constants": k, "skip": None if skip is None else skip.name}))
        ops.append(op)
        tensors[name] = x = y
    used = {f for op in ops for f in (getattr(op, "input", None), getattr(op, "skip", None))}
    ops.append(Output(name="output", input=x.name))
    unread = set(tensors) - used - {x.name}
    assert not unread
    return run_passes(Graph(name=f"random-{seed}", tensors=tensors, ops=tuple(ops)))


def resnet8(wb: int, ab: int, seed: int = 0) -> Graph:
    """ResNet-8 for CIFAR-10 with random weights; first and last layer W8A8 like the real one."""
    rng = np.random.default_rng(seed)
    tensors = {"t0": Tensor(name="t0", h=32, w=32, c=3, bits=8, scale=1.0, zero_point=128)}
    ops: list[Op] = [Input(name="input", output="t0")]

    def add(
        name: str, source: str, c: int, kernel: int, stride: int, w_bits: int, o_bits: int,
        skip: str | None = None,
    ) -> str:  # fmt: skip
        x, s = tensors[source], None if skip is None else tensors[skip]
        shape, pad = (c, kernel, kernel, x.c), (kernel // 2,) * 4
        bipolar = w_bits == 1
        weights = rng.integers(-(2 ** (w_bits - 1)), 2 ** (w_bits - 1), shape)
        weights = rng.integers(0, 2, shape) * 2 - 1 if bipolar else weights
        h, w = (-(-d // stride) for d in (x.h, x.w))
        y = Tensor(name=name, h=h, w=w, c=c, bits=o_bits, scale=1.0, zero_point=0)
        fan = np.sqrt(weights[0].size) * 2.0 ** (w_bits - 1) * 2**x.bits / 3
        op = Conv(
            name=f"op_{name}", input=source, output=name, weights=weights.astype(np.int64),
            weight_bits=w_bits, bipolar=bipolar, stride=(stride, stride), pad=pad, dilation=(1, 1),
            constants=constants(rng, fan, x, y, s), skip=skip,
        )  # fmt: skip
        tensors[name] = y
        ops.append(op)
        return name

    at = add("stem", "t0", 16, 3, 1, 8, ab)
    for i, (c, stride) in enumerate(((16, 1), (32, 2), (64, 2))):
        skip = at if stride == 1 else add(f"short{i}", at, c, 1, stride, wb, ab)
        mid = add(f"a{i}", at, c, 3, stride, wb, ab)
        at = add(f"b{i}", mid, c, 3, 1, wb, 8 if i == 2 else ab, skip)
    x = tensors[at]
    y = Tensor(name="mean", h=1, w=1, c=64, bits=8, scale=1.0, zero_point=0)
    tensors["mean"] = y
    ops.append(
        Pool(
            name="op_mean",
            input=at,
            output="mean",
            op="sum",
            kernel=(8, 8),
            stride=(1, 1),
            pad=(0, 0, 0, 0),
            constants=constants(rng, 64 * 256.0, x, y, None),
        )
    )
    ops.append(Output(name="output", input=add("logits", "mean", 10, 1, 1, 8, 8)))
    return run_passes(Graph(name=f"resnet8-w{wb}a{ab}", tensors=tensors, ops=tuple(ops)))


def random_image(graph: Graph, seed: int) -> np.ndarray:
    """A random input of ``graph``."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**graph.input.bits, graph.input.shape, dtype=np.uint8)


__all__ = ["random_graph", "random_image", "resnet8"]
