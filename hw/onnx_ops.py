"""How the front end treats layers, pools and changes of shape; the table of all operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hessbit.hw.ir import Pads, Pair, Tensor
from hessbit.hw.lower import Const, DqConst, Expr, FloatInput, Quant, Real, weight_width
from hessbit.hw.onnx_values import Value, ValueHandlers, attributes


class Handlers(ValueHandlers):
    """Layers; the converter adds the state."""

    # Layers --------------------------------------------------------------------------------------

    def _weights(self, node: Any) -> DqConst:
        w = self.values[node.input[1]]
        if not isinstance(w, DqConst):
            raise self._refuse(node, "weights must be a quantised constant behind DequantizeLinear")
        return w

    def _layer(self, node: Any, q: Any, w: DqConst, x: Real, axis: int, **more: Any) -> Expr:
        """A convolution with weights ``q`` (C_out, KH, KW, C_in)."""
        if w.scale.size > 1 and w.axis % w.q.ndim != axis:
            raise self._refuse(
                node, f"weight scales along axis {w.axis}; along {axis} is supported"
            )
        bits, bipolar = weight_width(w.q, w.lo, w.hi, node.name)
        if bipolar and not np.all(np.abs(q) == 1):  # groups filled with zeros
            bits, bipolar = 2, False
        e = Expr(
            name=self.fresh(node.name or node.output[0]),
            source=x.tensor,
            weights=np.ascontiguousarray(q),
            weight_scale=w.scale,
            weight_bits=bits,
            bipolar=bipolar,
            **more,
        )
        return self._bias(node, e, 2) if len(node.input) > 2 and node.input[2] else e

    def _bias(self, node: Any, e: Expr, i: int) -> Expr:
        b = self.values[node.input[i]]
        n = e.shape[2]
        if isinstance(b, DqConst):
            assert e.weight_scale is not None
            ideal = e.weight_scale.astype(np.float64) * self.tensors[e.source].scale
            # other exporters multiply the two scales in another order: the same but for rounding
            if np.allclose(b.scale.astype(np.float64), ideal, rtol=1e-5, atol=0):
                q = np.broadcast_to(b.q.reshape(-1), (n,)).astype(np.int64)
                return replace(e, bias_int=q if e.bias_int is None else e.bias_int + q)
        c = self._const(node, i)
        assert c is not None
        if c.value.size not in (1, n):
            raise self._refuse(node, f"a bias of {c.value.size} values for {n} channels")
        real = np.broadcast_to(np.asarray(c.value, np.float64).reshape(-1), (n,))
        return replace(e, bias_real=real if e.bias_real is None else e.bias_real + real)

    def conv(self, node: Any) -> Value:
        x = self.real(self.values[node.input[0]], node.op_type, node.name)
        w, a = self._weights(node), attributes(node)
        if w.q.ndim != 4 or x.flat:
            raise self._refuse(node, f"{w.q.ndim - 2}-D convolution; 2-D is supported")
        t, groups = self.tensors[x.tensor], a.get("group", 1)
        q = w.q.transpose(0, 2, 3, 1)
        if groups > 1:  # zeros outside each group's own channels
            full = np.zeros((*q.shape[:3], t.c), np.int64)
            step, per = len(q) // groups, t.c // groups
            for g in range(groups):
                full[g * step : (g + 1) * step, :, :, g * per : (g + 1) * per] = q[
                    g * step : (g + 1) * step
                ]
            q = full
        if q.shape[3] != t.c:
            raise self._refuse(node, f"weights for {q.shape[3]} channels, the input has {t.c}")
        stride, dilation = tuple(a.get("strides", (1, 1))), tuple(a.get("dilations", (1, 1)))
        kernel = (q.shape[1], q.shape[2])
        pad = self._pads(node, a, t, kernel, stride, dilation)
        out = _size(t, kernel, stride, pad, dilation)
        return self._layer(
            node,
            q,
            w,
            x,
            0,
            shape=(*out, len(q)),
            kernel=kernel,
            stride=stride,
            pad=pad,
            dilation=dilation,
        )

    def gemm(self, node: Any) -> Value:
        a = attributes(node)
        if a.get("alpha", 1.0) != 1.0 or a.get("beta", 1.0) != 1.0 or a.get("transA", 0):
            raise self._refuse(node, "alpha, beta other than 1 or transA")
        return self._linear(node, bool(a.get("transB", 0)) and node.op_type == "Gemm")

    def _linear(self, node: Any, transposed: bool) -> Value:
        x = self.real(self.values[node.input[0]], node.op_type, node.name)
        w, t = self._weights(node), self.tensors[x.tensor]
        q = w.q if transposed else w.q.T
        if w.q.ndim != 2 or q.shape[1] != t.h * t.w * t.c or not (x.flat or (t.h, t.w) == (1, 1)):
            raise self._refuse(node, f"weights {w.q.shape} for an input of {t.c}x{t.h}x{t.w}")
        q = q.reshape(len(q), t.c, t.h, t.w).transpose(0, 2, 3, 1)
        return self._layer(
            node,
            q,
            w,
            x,
            0 if transposed else 1,
            shape=(1, 1, len(q)),
            kernel=(t.h, t.w),
            flat=True,
        )

    def add(self, node: Any) -> Value:
        sides = [self.values[name] for name in node.input]
        for i in (0, 1):
            a, b = sides[1 - i], sides[i]
            if isinstance(b, Const | DqConst) and isinstance(a, Expr) and a.weights is not None:
                if a.low > -np.inf or a.high < np.inf or a.after or a.skip:
                    raise self._refuse(node, "a constant added behind ReLU or a residual")
                return self._bias(node, a, i)
        if any(isinstance(v, Const | DqConst) for v in sides):
            raise self._refuse(node, "a constant added to anything but a convolution's result")
        if isinstance(sides[0], Real):
            sides.reverse()
        first, second = sides
        if isinstance(second, Expr):
            if isinstance(first, Expr) and second.pool != "max":
                first, second = second, first
            second = self.real(second, node.op_type, node.name)
        if not isinstance(second, Real):
            raise self._refuse(node, "neither input is quantised; quantise the shortcut")
        e = self._expr(node, first)
        if e.skip or e.after or e.low > -np.inf or e.high < np.inf:
            raise self._refuse(
                node, "its input is an unquantised sum, ReLU or pool; quantise it first"
            )
        if e.shape != self.tensors[second.tensor].shape:
            raise self._refuse(
                node, f"shapes {e.shape} and {self.tensors[second.tensor].shape} differ"
            )
        return replace(e, skip=second.tensor)

    # Pools and shapes ----------------------------------------------------------------------------

    def _pads(
        self, node: Any, a: dict[str, Any], t: Tensor, kernel: Pair, stride: Pair, dilation: Pair
    ) -> Pads:
        auto = a.get("auto_pad", b"NOTSET").decode()
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            both = []
            for n, k, s, d in zip((t.h, t.w), kernel, stride, dilation, strict=True):
                total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
                small = total // 2
                both.append(
                    (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
                )
            return both[0][0], both[1][0], both[0][1], both[1][1]
        top, left, bottom, right = a.get("pads", (0, 0, 0, 0))
        if min(top, left, bottom, right) < 0:
            raise self._refuse(node, "negative padding")
        return int(top), int(left), int(bottom), int(right)

    def pool(self, node: Any) -> Value:
        a, x = attributes(node), self.values[node.input[0]]
        average = node.op_type == "AveragePool"
        kernel, stride = tuple(a["kernel_shape"]), tuple(a.get("strides", (1, 1)))
        if len(kernel) != 2 or tuple(a.get("dilations", (1, 1))) != (1, 1):
            raise self._refuse(node, "only 2-D pools without dilation")
        behind = isinstance(x, Expr)
        if behind and average:
            raise self._refuse(
                node, "its input is not quantised; put Quantize/DequantizeLinear before it"
            )
        if isinstance(x, Expr):
            h, w, c = x.shape if not x.flat else (0, 0, 0)
            t = Tensor(name="", h=h, w=w, c=c, bits=8, scale=1.0, zero_point=0)
        else:
            x = self.real(x, node.op_type, node.name)
            t = self.tensors[x.tensor]
        pad = self._pads(node, a, t, kernel, stride, (1, 1))
        if a.get("ceil_mode", 0):
            extra = [
                -(n + p + q - k) % s
                for n, p, q, k, s in zip((t.h, t.w), pad[:2], pad[2:], kernel, stride, strict=True)
            ]
            pad = (pad[0], pad[1], pad[2] + extra[0], pad[3] + extra[1])
            for i, (n, s, k) in enumerate(zip((t.h, t.w), stride, kernel, strict=True)):
                last = (n + pad[i] + pad[i + 2] - k) // s * s
                if last >= n + pad[i]:  # a window that starts in the padding is dropped
                    pad = (*pad[: i + 2], pad[i + 2] - s, *pad[i + 3 :])
        if average and any(pad):
            raise self._refuse(node, "padding; average pools without padding are supported")
        out = _size(t, kernel, stride, pad, (1, 1))
        e = Expr(
            name=self.fresh(node.name or node.output[0]),
            source="" if behind else x.tensor,  # type: ignore[union-attr]
            shape=(*out, t.c),
            kernel=kernel,
            stride=stride,
            pad=pad,
            pool="sum" if average else "max",
            divisor=kernel[0] * kernel[1] if average else 1,
        )
        if isinstance(x, Expr):
            return replace(x, shape=e.shape, after=(*x.after, e))
        return e

    def global_average(self, node: Any) -> Value:
        if node.op_type == "ReduceMean":
            a, axes = attributes(node), self._const(node, 1)
            given = a.get("axes", () if axes is None else [int(v) for v in axes.value.reshape(-1)])
            if sorted(v % 4 for v in given) != [2, 3]:
                raise self._refuse(node, "a mean over anything but rows and columns")
        x = self.real(self.values[node.input[0]], node.op_type, node.name)
        t = self.tensors[x.tensor]
        flat = node.op_type == "ReduceMean" and not attributes(node).get("keepdims", 1)
        return Expr(
            name=self.fresh(node.name or node.output[0]),
            source=x.tensor,
            shape=(1, 1, t.c),
            kernel=(t.h, t.w),
            pool="sum",
            divisor=t.h * t.w,
            flat=flat,
        )

    def flatten(self, node: Any) -> Value:
        x = self.values[node.input[0]]
        if isinstance(x, Const | DqConst):
            raise self._refuse(node, "of a constant")
        h, w, c = self.tensors[x.tensor].shape if isinstance(x, Real) else _shape(x)
        if node.op_type == "Flatten" and attributes(node).get("axis", 1) != 1:
            raise self._refuse(node, "an axis other than 1")
        flat = True
        if node.op_type == "Reshape":
            shape = self._const(node, 1)
            assert shape is not None
            to = [int(v) for v in shape.value.reshape(-1)]
            flat = len(to) == 2
            keeps = flat and to[1] in (-1, h * w * c)
            keeps |= len(to) == 4 and (c, h, w) == tuple(
                v if v > 0 else d for v, d in zip(to[1:], (c, h, w), strict=True)
            )
            if not keeps:
                raise self._refuse(node, f"to {to}; only flattening (N, C, H, W) is supported")
        if node.op_type == "Squeeze" and (h, w) != (1, 1):
            raise self._refuse(node, "of a map larger than 1x1")
        if isinstance(x, Quant):
            x = self.real(x, node.op_type, node.name)
        return replace(x, flat=flat) if isinstance(x, Real | Expr) else x


def _shape(x: Value) -> tuple[int, int, int]:
    if isinstance(x, Quant):
        x = x.source
    assert isinstance(x, Expr | FloatInput)
    return x.shape


def _size(t: Tensor, kernel: Pair, stride: Pair, pad: Pads, dilation: Pair) -> Pair:
    return (
        (t.h + pad[0] + pad[2] - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1,
        (t.w + pad[1] + pad[3] - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1,
    )


HANDLERS: dict[str, Callable[[Any, Any], Value]] = {
    "QuantizeLinear": Handlers.quantize,
    "DequantizeLinear": Handlers.dequantize,
    "Clip": Handlers.clip,
    "Relu": Handlers.relu,
    "Conv": Handlers.conv,
    "Gemm": Handlers.gemm,
    "MatMul": Handlers.gemm,
    "Add": Handlers.add,
    "MaxPool": Handlers.pool,
    "AveragePool": Handlers.pool,
    "GlobalAveragePool": Handlers.global_average,
    "ReduceMean": Handlers.global_average,
    "Flatten": Handlers.flatten,
    "Reshape": Handlers.flatten,
    "Squeeze": Handlers.flatten,
    "Identity": Handlers.same,
    "Dropout": Handlers.same,
    "Constant": Handlers.constant,
}
