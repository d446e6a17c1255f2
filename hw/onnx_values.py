"""How the front end treats ONNX constants and the operators that quantise, clip or pass on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np

from hessbit.errors import UnsupportedError
from hessbit.hw.ir import Tensor
from hessbit.hw.lower import Const, DqConst, Expr, FloatInput, QType, Quant, Real

Value = Const | DqConst | Expr | FloatInput | Real | Quant


def type_range(elem_type: int) -> tuple[int, int] | None:
    """Range of an ONNX integer type, None for others."""
    from onnx import TensorProto as T

    names = {"INT2": 2, "INT4": 4, "INT8": 8, "INT16": 16, "INT32": 32}
    for name, b in names.items():
        if elem_type == getattr(T, name, -1):
            return -(1 << (b - 1)), (1 << (b - 1)) - 1
        if elem_type == getattr(T, "U" + name, -1):
            return 0, (1 << b) - 1
    return None


def initializer(tensor: Any) -> Const:
    """A constant from a TensorProto."""
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    limits = type_range(tensor.data_type)
    if limits is not None:
        return Const(array.astype(np.int64), *limits)
    if tensor.data_type == 7:  # INT64: shapes and axes
        return Const(array.astype(np.int64))
    return Const(array.astype(np.float64))


def attributes(node: Any) -> dict[str, Any]:
    """The attributes of a node by name."""
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


class ValueHandlers(ABC):
    """Operators; the converter adds the state and the abstract methods."""

    values: dict[str, Value]
    tensors: dict[str, Tensor]
    keep: list[Any]

    @abstractmethod
    def fresh(self, name: str) -> str: ...

    @abstractmethod
    def real(self, value: Value, op: str, node: str) -> Real: ...

    def _refuse(self, node: Any, reason: str) -> UnsupportedError:
        return UnsupportedError(node.op_type, node.name, reason)

    def _const(self, node: Any, i: int) -> Const | None:
        if len(node.input) <= i or not node.input[i]:
            return None
        value = self.values[node.input[i]]
        if isinstance(value, DqConst):
            return Const(value.real)
        if not isinstance(value, Const):
            raise self._refuse(node, f"input {i} ({node.input[i]}) must be a constant")
        return value

    def _qtype(
        self, node: Any
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], tuple[int, int]]:
        scale = self._const(node, 1)
        zero = self._const(node, 2)
        assert scale is not None
        if attributes(node).get("block_size"):
            raise self._refuse(node, "block-wise scales; per tensor or per channel is supported")
        limits = (0, 255)
        if zero is not None and zero.lo is not None and zero.hi is not None:
            limits = (zero.lo, zero.hi)
        elif attributes(node).get("output_dtype"):
            limits = type_range(attributes(node)["output_dtype"]) or limits
        z = np.zeros(1, np.int64) if zero is None else zero.value.astype(np.int64).reshape(-1)
        return scale.value.reshape(-1).astype(np.float32), z, limits

    def quantize(self, node: Any) -> Value:
        scale, zero, (lo, hi) = self._qtype(node)
        x = self.values[node.input[0]]
        if isinstance(x, Const):  # weights kept as floats
            shape = [1] * x.value.ndim
            if scale.size > 1:
                shape[attributes(node).get("axis", 1)] = scale.size
            real = np.asarray(x.value, np.float32) / scale.reshape(shape)
            q = np.rint(real).astype(np.int64) + (zero.reshape(shape) if zero.size > 1 else zero[0])
            return Const(np.clip(q, lo, hi), lo, hi)
        if scale.size != 1:
            raise self._refuse(node, "activations with a scale per channel; one scale is supported")
        if hi - lo > 255:
            raise self._refuse(node, "activations of more than 8 bits; at most 8 are supported")
        if isinstance(x, Quant | DqConst):
            raise self._refuse(node, "its input is quantised already or constant")
        q = QType(scale=float(scale[0]), zero_point=int(zero[0]), lo=lo, hi=hi, signed=lo < 0)
        return Quant(source=x, type=q)

    def dequantize(self, node: Any) -> Value:
        scale, zero, _ = self._qtype(node)
        x = self.values[node.input[0]]
        if isinstance(x, Const):
            axis = attributes(node).get("axis", 1)
            q = np.asarray(x.value).astype(np.int64)
            shape = [1] * q.ndim
            if zero.size > 1:
                shape[axis] = zero.size
            if zero.size > 1 and np.any(zero != zero[0]):
                raise self._refuse(
                    node, "weights with a zero point per channel; use symmetric ones"
                )
            lo = x.lo if x.lo is not None else int(q.min())
            hi = x.hi if x.hi is not None else int(q.max())
            z = int(zero[0])
            return DqConst(q=q - z, scale=scale, axis=axis, lo=lo - z, hi=hi - z)
        if not isinstance(x, Quant):
            raise self._refuse(node, "its input is not quantised")
        if x.type.scale == 0.0:  # an integer input of the network
            given = replace(x.type, scale=float(scale[0]), zero_point=int(zero[0]))
            x = Quant(source=x.source, type=given)
            self.values[node.input[0]] = x
        same = scale.size == 1 and float(scale[0]) == x.type.scale
        if not same or int(zero[0]) != x.type.zero_point:
            raise self._refuse(node, "scale or zero point differ from its QuantizeLinear's")
        return self.real(x, node.op_type, node.name)

    def clip(self, node: Any) -> Value:
        x = self.values[node.input[0]]
        a = attributes(node)
        low, high = self._const(node, 1), self._const(node, 2)
        lo = a.get("min", -np.inf) if low is None else float(low.value.reshape(-1)[0])
        hi = a.get("max", np.inf) if high is None else float(high.value.reshape(-1)[0])
        if isinstance(x, Const):
            if x.lo is None or x.hi is None:
                return Const(np.clip(x.value.astype(np.float64), lo, hi))
            bounds = int(max(x.lo, lo)), int(min(x.hi, hi))
            return Const(np.clip(x.value, *bounds).astype(np.int64), *bounds)
        if isinstance(x, Quant):
            q = replace(x.type, lo=int(max(x.type.lo, lo)), hi=int(min(x.type.hi, hi)))
            if q.lo >= q.hi:
                raise self._refuse(node, f"leaves the range {q.lo}..{q.hi}")
            return Quant(source=x.source, type=q)
        return self._bound(node, x, lo, hi)

    def relu(self, node: Any) -> Value:
        return self._bound(node, self.values[node.input[0]], 0.0, np.inf)

    def _bound(self, node: Any, x: Value, lo: float, hi: float) -> Value:
        e = self._expr(node, x)
        return replace(e, low=max(e.low, lo), high=min(e.high, hi))

    def _expr(self, node: Any, x: Value) -> Expr:
        if isinstance(x, Real):
            return Expr(
                name=self.fresh(node.name or node.output[0]),
                source=x.tensor,
                shape=self.tensors[x.tensor].shape,
                pool="max",
                flat=x.flat,
            )
        if not isinstance(x, Expr):
            raise self._refuse(node, "its input is not quantised")
        return x

    def same(self, node: Any) -> Value:
        return self.values[node.input[0]]

    def constant(self, node: Any) -> Value:
        a = attributes(node)
        if "value" not in a:
            return Const(np.asarray(next(iter(a.values()))))
        return initializer(a["value"])
