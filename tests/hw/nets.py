"""Random QDQ networks, built node by node with onnx.helper."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    """A QDQ network under construction; ``value`` is the current dequantised tensor."""

    def __init__(self, h: int, w: int, c: int, *, seed: int = 0, in_bits: int = 8) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.n = 0
        self.shape = (h, w, c)
        self.scale: dict[str, float] = {}
        self.types: dict[str, tuple[int, int, int]] = {}
        self.inputs = [
            helper.make_tensor_value_info("input", TensorProto.FLOAT, ("batch", c, h, w))
        ]
        self.value = self.quantize("input", in_bits, 1 / 64, zero_point=1 << (in_bits - 1))

    def name(self, what: str) -> str:
        self.n += 1
        return f"{what}{self.n}"

    def const(self, value: np.ndarray) -> str:
        name = self.name("k")
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: object) -> str:
        name = self.name(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def quantize(
        self,
        value: str,
        bits: int = 8,
        scale: float = 0.05,
        zero_point: int = 0,
        *,
        signed: bool = False,
    ) -> str:
        kind = np.int8 if signed else np.uint8
        s, z = self.const(np.float32(scale)), self.const(kind(zero_point))
        q = self.node("QuantizeLinear", [value, s, z])
        if bits < 8:
            low = -(1 << (bits - 1)) if signed else 0
            q = self.node(
                "Clip", [q, self.const(kind(low)), self.const(kind(low + (1 << bits) - 1))]
            )
        out = self.node("DequantizeLinear", [q, s, z])
        self.scale[out] = float(np.float32(scale))
        return out

    def weight(self, shape: tuple[int, ...], bits: int, axis: int = 0) -> tuple[str, np.ndarray]:
        limit = max(1, (1 << (bits - 1)) - 1)
        if bits == 1:
            q = self.rng.choice([-1, 1], shape)
        else:
            q = self.rng.integers(-limit, limit + 1, shape)
        scale = (self.rng.uniform(0.5, 1.5, shape[axis]) / limit / 4).astype(np.float32)
        name = self.const(q.astype(np.int8))
        if bits < 8:
            name = self.node(
                "Clip", [name, self.const(np.int8(-limit)), self.const(np.int8(limit))]
            )
        zero = self.const(np.zeros(shape[axis], np.int8))
        return self.node("DequantizeLinear", [name, self.const(scale), zero], axis=axis), scale

    def bias(self, n: int, scale: np.ndarray) -> str:
        q = self.rng.integers(-200, 200, n).astype(np.int32)
        s = (scale.astype(np.float64) * self.scale[self.value]).astype(np.float32)
        return self.node("DequantizeLinear", [self.const(q), self.const(s)], axis=0)

    def conv(
        self,
        c_out: int,
        k: int = 3,
        *,
        stride: int = 1,
        pad: int | None = None,
        dilation: int = 1,
        wb: int = 4,
        ob: int = 4,
        relu: bool = True,
        skip: str | None = None,
        groups: int = 1,
        pool: int = 0,
    ) -> str:
        h, w, c = self.shape
        pad = dilation * (k // 2) if pad is None else pad
        weight, scale = self.weight((c_out, c // groups, k, k), wb)
        v = self.node(
            "Conv",
            [self.value, weight, self.bias(c_out, scale)],
            kernel_shape=[k, k],
            strides=[stride] * 2,
            pads=[pad] * 4,
            dilations=[dilation] * 2,
            group=groups,
        )
        size = [(n + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for n in (h, w)]
        if skip:
            v = self.node("Add", [v, skip])
        if relu:
            v = self.node("Relu", [v])
        if pool:
            v = self.node("MaxPool", [v], kernel_shape=[pool] * 2, strides=[pool] * 2)
            size = [n // pool for n in size]
        self.shape = (size[0], size[1], c_out)
        top = 2.0 * np.sqrt(c / groups * k * k) / 4
        scale_out = top / ((1 << ob) - 1)
        zero = 0 if relu else 1 << (ob - 1)
        self.value = self.quantize(v, ob, scale_out, zero)
        return self.value

    def pool(self, kind: str, k: int = 2, *, stride: int = 2, pad: int = 0, ob: int = 8) -> str:
        h, w, c = self.shape
        v = self.node(
            kind, [self.value], kernel_shape=[k] * 2, strides=[stride] * 2, pads=[pad] * 4
        )
        self.shape = ((h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1, c)
        scale = self.scale[self.value] * (1 if kind == "MaxPool" else 0.7)
        self.value = self.quantize(v, ob, scale)
        return self.value

    def global_pool(self, ob: int = 8) -> str:
        v = self.node("GlobalAveragePool", [self.value])
        self.shape = (1, 1, self.shape[2])
        self.value = self.quantize(v, ob, self.scale[self.value] * 0.5)
        return self.value

    def linear(self, n: int, wb: int = 8, ob: int = 8) -> str:
        h, w, c = self.shape
        source = self.value
        flat = self.node("Flatten", [self.value])
        self.scale[flat] = self.scale[source]
        self.value = flat
        weight, scale = self.weight((n, c * h * w), wb)
        v = self.node("Gemm", [flat, weight, self.bias(n, scale)], transB=1)
        self.shape = (1, 1, n)
        self.value = self.quantize(v, ob, 4.0 / (1 << ob), 1 << (ob - 1))
        return self.value

    def model(self) -> onnx.ModelProto:
        h, w, c = self.shape
        flat = self.nodes[-1].op_type == "Gemm" or any(n.op_type == "Gemm" for n in self.nodes)
        shape = ("batch", c) if flat else ("batch", c, h, w)
        out = helper.make_tensor_value_info(self.value, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "net", self.inputs, [out], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def save(self, path: Path) -> Path:
        onnx.save(self.model(), str(path))
        return path


def random_net(seed: int, *, small: bool = True) -> Net:
    """A random network with convolutions, residuals, pools and a classifier."""
    rng = random.Random(seed)
    side = rng.choice((6, 7, 8) if small else (8, 10, 12))
    net = Net(side, rng.choice((side, side + 1)), rng.choice((1, 3, 4, 16)), seed=seed)
    bits = lambda: rng.choice((1, 2, 3, 4, 5, 8))  # noqa: E731
    net.conv(rng.choice((10, 16, 20)), 3, wb=rng.choice((2, 4, 8)), ob=rng.choice((2, 3, 4, 8)))
    for _ in range(rng.randint(2, 4)):
        kind = rng.choice(
            ("conv", "conv", "residual", "residual", "max", "avg", "dilated", "stride", "fused")
        )
        h, w, c = net.shape
        if min(h, w) < 4:
            kind = "point"
        if kind == "conv":
            net.conv(
                rng.choice((8, 16, 24, 32)),
                rng.choice((1, 3)),
                wb=bits(),
                ob=bits(),
                relu=rng.random() < 0.7,
            )
        elif kind == "point":
            net.conv(rng.choice((8, 16, 24)), 1, wb=bits(), ob=bits())
        elif kind == "residual":
            skip = net.value
            net.conv(c, 3, wb=bits(), ob=bits())
            net.conv(c, 3, wb=bits(), ob=rng.choice((2, 4, 8)), skip=skip, relu=rng.random() < 0.7)
        elif kind == "dilated":
            net.conv(16, 3, dilation=2, wb=bits(), ob=bits())
        elif kind == "stride":
            net.conv(rng.choice((16, 20)), 3, stride=2, wb=bits(), ob=bits())
        elif kind == "fused":
            net.conv(16, 3, wb=bits(), ob=bits(), pool=2)
        else:
            net.pool(
                "MaxPool" if kind == "max" else "AveragePool",
                rng.choice((2, 3)),
                pad=int(kind == "max"),
                ob=rng.choice((4, 8)),
            )
    h, w, c = net.shape
    if h * w * c > 1200 or rng.random() < 0.4:
        net.global_pool()
    net.linear(rng.choice((3, 10)), wb=rng.choice((1, 4, 8)))
    return net
