"""Read a QDQ ONNX model into the IR.

Everything between DequantizeLinears and the next QuantizeLinear becomes one fused operator:
``DQ -> Conv | Gemm | MatMul [-> Add] [-> Relu | Clip] [-> MaxPool] -> Q``, ``DQ -> pool -> Q`` and
``DQ, DQ -> Add -> Q``. Weights, scales and biases must be constants.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hessbit.errors import HessbitError, ModelError, UnsupportedError
from hessbit.hw.ir import Graph, Input, Op, Output, Tensor
from hessbit.hw.lower import (
    Const,
    DqConst,
    Expr,
    FloatInput,
    QType,
    Quant,
    Real,
    make_ops,
    stored_type,
)
from hessbit.hw.onnx_ops import HANDLERS, Handlers
from hessbit.hw.onnx_values import Value, initializer, type_range

SUPPORTED = (
    "QuantizeLinear, DequantizeLinear, Clip, Conv, Gemm, MatMul, Add, Relu, MaxPool, AveragePool, "
    "GlobalAveragePool, ReduceMean over space, Flatten, Reshape, Squeeze, Identity, Dropout"
)


def load_onnx(path: str | Path) -> Graph:
    """Read a QDQ ONNX file.

    Raises
    ------
    ModelError
        When the file is missing, not ONNX or not valid.
    UnsupportedError
        Naming the node whose operator, or form of it, the accelerator does not carry.
    NumericsError
        When a layer's constants do not fit their widths.
    """
    import onnx

    try:
        model = onnx.load(str(path))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from None
    except Exception as error:
        raise ModelError(f"{path} is not an ONNX model: {_line(error)}") from None
    if not model.graph.node:
        raise ModelError(f"{path} is not an ONNX model: it has no nodes")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx", "com.microsoft") or node.op_type not in HANDLERS:
            hint = "export the model in QDQ form; " if node.op_type.startswith("QLinear") else ""
            raise UnsupportedError(node.op_type, node.name, f"{hint}supported are {SUPPORTED}")
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise ModelError(f"{path} is not a valid ONNX model: {_line(error)}") from None
    return convert(model, Path(path).stem)


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def convert(model: Any, name: str) -> Graph:
    """The IR of a loaded ONNX model; raises like :func:`load_onnx`."""
    return _Converter(model, name).run()


class _Converter(Handlers):
    """Walks the nodes in order, keeping what is known of every value."""

    def __init__(self, model: Any, name: str) -> None:
        self.graph, self.title = model.graph, name
        self.values: dict[str, Value] = {}
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []
        self.done: dict[int, Real] = {}
        self.keep: list[Any] = []

    def run(self) -> Graph:
        constants = {t.name for t in self.graph.initializer}
        for t in self.graph.initializer:
            self.values[t.name] = initializer(t)
        inputs = [i for i in self.graph.input if i.name not in constants]
        if len(inputs) != 1 or len(self.graph.output) != 1:
            raise UnsupportedError(
                "graph",
                self.title,
                f"{len(inputs)} inputs and {len(self.graph.output)} outputs; "
                "one of each is supported",
            )
        self._input(inputs[0])
        for node in self.graph.node:
            self._node(node)
        name = self.graph.output[0].name
        value = self.values.get(name)
        if isinstance(value, Quant):
            value = self.real(value, "Output", name)
        if isinstance(value, Expr) and value.pool == "max":
            value = self.real(value, "Output", name)
        if not isinstance(value, Real):
            raise UnsupportedError(
                "Output",
                name,
                "the output is not quantised; put QuantizeLinear and DequantizeLinear before it",
            )
        self.ops.append(Output(name="output", input=value.tensor))
        return Graph(name=self.title, tensors=self.tensors, ops=tuple(self.ops))

    def _input(self, info: Any) -> None:
        kind = info.type.tensor_type
        shape = []
        for i, d in enumerate(kind.shape.dim):
            if i == 0:
                continue  # the batch, fixed to 1
            if not d.HasField("dim_value") or d.dim_value < 1:
                raise UnsupportedError(
                    "Input",
                    info.name,
                    f"dimension {i} ({d.dim_param or 'unknown'}) is dynamic; "
                    "only the batch may be, export with a fixed size",
                )
            shape.append(d.dim_value)
        if len(shape) == 3:
            hwc = (shape[1], shape[2], shape[0])
        elif len(shape) == 1:
            hwc = (1, 1, shape[0])
        else:
            raise UnsupportedError(
                "Input", info.name, f"{len(shape) + 1}-D; (N, C, H, W) or (N, C)"
            )
        source = FloatInput(name=info.name, shape=hwc)
        limits = type_range(kind.elem_type)
        if limits is None:
            self.values[info.name] = source
        else:  # integers come in; the DequantizeLinear that follows gives scale and zero point
            q = QType(scale=0.0, zero_point=0, lo=limits[0], hi=limits[1], signed=limits[0] < 0)
            self.values[info.name] = Quant(source=source, type=q)

    def _node(self, node: Any) -> None:
        try:
            values = HANDLERS[node.op_type](self, node)
        except HessbitError:
            raise
        except (KeyError, IndexError, ValueError, TypeError, AssertionError) as error:
            raise ModelError(
                f"malformed node {node.name!r} ({node.op_type}): {_line(error)}"
            ) from error
        self.values[node.output[0]] = values

    # What handlers use ---------------------------------------------------------------------------

    def fresh(self, name: str) -> str:
        """A name that no operator has yet."""
        used, unique, i = {op.name for op in self.ops} | set(self.tensors), name, 1
        while unique in used:
            unique, i = f"{name}.{i}", i + 1
        return unique

    def real(self, value: Value, op: str, node: str) -> Real:
        """``value`` as a tensor of the IR, made now if it was pending."""
        if isinstance(value, Real):
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        if isinstance(value, Quant):
            made = self._quantised(value)
        elif isinstance(value, Expr) and value.pool == "max" and value.skip is None:
            x = self.tensors[value.source]
            q = QType(
                scale=x.scale, zero_point=x.zero_point, lo=0, hi=(1 << x.bits) - 1, signed=False
            )
            made = self._emit(value, q)
        else:
            raise UnsupportedError(
                op,
                node,
                "an input is not quantised; put QuantizeLinear and DequantizeLinear before it",
            )
        self.done[id(value)] = made
        self.keep.append(value)  # an id is unique only while its object lives
        return made

    def _quantised(self, value: Quant) -> Real:
        source, q = value.source, value.type
        if isinstance(source, FloatInput):
            zp, lo, _hi, bits = stored_type(q, -np.inf, np.inf)
            if lo or not 0 <= zp <= 255:
                raise UnsupportedError(
                    "QuantizeLinear", source.name, "an input range that ends above 0"
                )
            h, w, c = source.shape
            if any(isinstance(op, Input) for op in self.ops):
                raise UnsupportedError(
                    "QuantizeLinear", source.name, "the input is quantised twice"
                )
            self._add(
                [Input(name="input", output="input")],
                [Tensor(name="input", h=h, w=w, c=c, bits=bits, scale=q.scale, zero_point=zp)],
            )
            return Real(tensor="input")
        if isinstance(source, Real):
            x = self.tensors[source.tensor]
            zp, lo, hi, bits = stored_type(q, -np.inf, np.inf)
            if (x.scale, x.zero_point, lo) == (q.scale, zp, 0) and hi >= (1 << x.bits) - 1:
                return source
            e = Expr(
                name=self.fresh(source.tensor + ".requant"),
                source=source.tensor,
                shape=x.shape,
                pool="max",
                flat=source.flat,
            )
            return self._emit(e, q)
        return self._emit(source, q)

    def _emit(self, e: Expr, q: QType) -> Real:
        ops, made = make_ops(e, q, self.tensors)
        self._add(ops, made)
        return Real(tensor=made[-1].name, flat=e.flat)

    def _add(self, ops: list[Op], made: list[Tensor]) -> None:
        self.ops += ops
        self.tensors |= {t.name: t for t in made}


__all__ = ["SUPPORTED", "Const", "DqConst", "convert", "load_onnx"]
