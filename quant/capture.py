"""Capture of a torch network by ``torch.export`` as a list of typed operators.

Operators are recognised by what the exported graph computes, so modules, functional calls and
tensor methods are the same thing here; a batch norm belongs to the convolution that feeds it in the
graph, whatever the order of the modules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from hessbit.errors import HessbitError, ModelError, ShapeError, UnsupportedError
from hessbit.quant.fusion import fuse
from hessbit.quant.graph import FloatGraph

SUPPORTED = (
    "Conv2d (groups=1), Linear, BatchNorm2d after Conv2d, ReLU, residual addition, MaxPool2d, "
    "AvgPool2d without padding, AdaptiveAvgPool2d(1), mean over height and width, flatten, "
    "Identity, Dropout"
)


@dataclass(kw_only=True)
class RawNode:
    """One operator as captured: ``op`` in conv, linear, bn, relu, add, maxpool, avgpool, flatten.

    ``shape`` is that of the output without the batch; ``attrs`` holds sizes as pairs, ``arrays``
    float64 constants.
    """

    name: str
    op: str
    inputs: list[str]
    shape: tuple[int, ...]
    in_shape: tuple[int, ...]
    attrs: dict[str, tuple[int, int]] = field(default_factory=dict)
    arrays: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = field(default_factory=dict)


def capture(model: nn.Module, example_input: torch.Tensor) -> FloatGraph:
    """Capture a network, fold its batch norms and fuse it into regions.

    Parameters
    ----------
    model : nn.Module
        Captured in eval mode; its own mode is left as it was.
    example_input : float32, shape (N, C, H, W)
        Only its shape counts.

    Returns
    -------
    FloatGraph

    Raises
    ------
    UnsupportedError
        Naming the operator, the node and what is supported.
    ModelError
        When the network has NaN or infinite weights or ``torch.export`` cannot trace it.
    ShapeError
        When the example is not four-dimensional.
    """
    if example_input.dim() != 4:
        raise ShapeError(f"example input of shape {tuple(example_input.shape)}; need (N, C, H, W)")
    check_finite(model)
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            program: Any = torch.export.export(model, (example_input,), strict=False)
    except HessbitError:
        raise
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"torch.export cannot trace {type(model).__name__}: {line}") from error
    finally:
        for module, mode in modes:
            module.training = mode
    nodes, output = _Reader(program).read()
    shape = example_input.shape
    return fuse(nodes, output, (int(shape[1]), int(shape[2]), int(shape[3])))


def check_finite(model: nn.Module) -> None:
    """Raise ModelError naming the first parameter or buffer that holds NaN or infinity."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelError(f"{name} holds NaN or infinite values; use another checkpoint")


def _pair(value: Any) -> tuple[int, int]:
    values = [int(value)] * 2 if isinstance(value, int) else [int(v) for v in value]
    return (values[0], values[-1])


class _Reader:
    """Walks the exported program once; ``alias`` maps a node to the node whose value it has."""

    def __init__(self, program: Any) -> None:
        self.program = program
        self.alias: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.nodes: list[RawNode] = []
        self.taken: set[str] = {"input"}
        sig = program.graph_signature
        self.constants: dict[str, tuple[str, np.ndarray[Any, np.dtype[np.float64]]]] = {}
        tensors = {**program.state_dict, **program.constants}
        for table in (
            sig.inputs_to_parameters,
            sig.inputs_to_buffers,
            sig.inputs_to_lifted_tensor_constants,
        ):
            for node, target in table.items():
                value = tensors[target].detach().double().cpu().numpy()
                self.constants[node] = (target, value)

    def read(self) -> tuple[list[RawNode], str]:
        """All operators in topological order and the name of the output."""
        users = list(self.program.graph_signature.user_inputs)
        output = ""
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                if node.name in users:
                    self.alias[node.name] = "input"
                    self.shapes["input"] = tuple(int(v) for v in node.meta["val"].shape[1:])
            elif node.op == "output":
                results = node.args[0]
                if len(results) != 1 or not hasattr(results[0], "name"):
                    raise UnsupportedError(
                        "output", node.name, f"{len(results)} outputs; one tensor is supported"
                    )
                output = self._source(node, results[0])
            else:
                self._call(node)
        return self.nodes, output

    def _source(self, node: Any, value: Any) -> str:
        name = getattr(value, "name", None)
        if name not in self.alias:
            raise UnsupportedError(
                str(node.target), node.name, f"operand {value!r} is not an activation; {SUPPORTED}"
            )
        return self.alias[name]

    def _constant(
        self, node: Any, value: Any
    ) -> tuple[str, np.ndarray[Any, np.dtype[np.float64]]] | None:
        if value is None:
            return None
        if getattr(value, "name", None) not in self.constants:
            raise UnsupportedError(str(node.target), node.name, "weights must be parameters")
        return self.constants[value.name]

    def _emit(self, node: Any, op: str, inputs: list[str], name: str, **rest: Any) -> None:
        base, n = name, 2
        while name in self.taken:
            name, n = f"{base}_{n}", n + 1
        self.taken.add(name)
        shape = tuple(int(v) for v in node.meta["val"].shape[1:])
        self.nodes.append(
            RawNode(
                name=name,
                op=op,
                inputs=inputs,
                shape=shape,
                in_shape=self.shapes[inputs[0]],
                **rest,
            )
        )
        self.alias[node.name] = name
        self.shapes[name] = shape

    def _module_name(self, node: Any) -> str:
        """Qualified name of the module that made the node, else the node's own name."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        if stack and str(stack[-1][1]).startswith("torch.nn.modules"):
            return str(stack[-1][0]) or str(node.name)
        return str(node.name)

    def _call(self, node: Any) -> None:
        target = str(node.target).removeprefix("aten.")
        base = target.split(".")[0].rstrip("_")
        handler = {
            "conv2d": self._conv,
            "linear": self._linear,
            "batch_norm": self._bn,
            "add": self._add,
            "relu": self._relu,
            "max_pool2d": self._maxpool,
            "avg_pool2d": self._avgpool,
            "adaptive_avg_pool2d": self._adaptive,
            "mean": self._mean,
            "flatten": self._reshape,
            "view": self._reshape,
            "reshape": self._reshape,
            "squeeze": self._reshape,
            "dropout": self._same,
            "feature_dropout": self._same,
            "alias": self._same,
            "clone": self._same,
            "contiguous": self._same,
            "detach": self._same,
            "to": self._same,
        }.get(base)
        if target.startswith("sym_size"):
            return
        if handler is None:
            raise UnsupportedError(target, node.name, f"supported are {SUPPORTED}")
        full = {a.name: a for a in node.target._schema.arguments} if node.args else {}
        args = {name: a.default_value for name, a in full.items() if a.has_default_value()}
        args.update(zip(full, node.args, strict=False))
        args.update(node.kwargs)
        handler(node, args)

    def _same(self, node: Any, a: dict[str, Any]) -> None:
        if a.get("dtype") not in (None, torch.float32) or a.get("train"):
            raise UnsupportedError(str(node.target), node.name, "only in float32 and in eval mode")
        self.alias[node.name] = self._source(node, node.args[0])

    def _weights(self, node: Any, a: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        found = self._constant(node, a["weight"])
        assert found is not None
        bias = self._constant(node, a["bias"])
        weight = found[1]
        arrays = {"weight": weight, "bias": np.zeros(len(weight)) if bias is None else bias[1]}
        return found[0].removesuffix(".weight"), arrays

    def _conv(self, node: Any, a: dict[str, Any]) -> None:
        if a["groups"] != 1:
            raise UnsupportedError("Conv2d", node.name, f"groups={a['groups']}; groups must be 1")
        name, arrays = self._weights(node, a)
        kernel, dilation = _pair(arrays["weight"].shape[2:]), _pair(a["dilation"])
        if isinstance(a["padding"], str):
            extent = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            if a["padding"] == "same" and any(e % 2 for e in extent):
                raise UnsupportedError(
                    "Conv2d", node.name, "padding='same' of an even kernel is not symmetric"
                )
            padding = (extent[0] // 2, extent[1] // 2) if a["padding"] == "same" else (0, 0)
        else:
            padding = _pair(a["padding"])
        attrs = {
            "kernel": kernel,
            "stride": _pair(a["stride"]),
            "padding": padding,
            "dilation": dilation,
        }
        source = self._source(node, a["input"])
        if len(self.shapes[source]) != 3:
            raise UnsupportedError("Conv2d", node.name, "the input must be (N, C, H, W)")
        self._emit(node, "conv", [source], name, attrs=attrs, arrays=arrays)

    def _linear(self, node: Any, a: dict[str, Any]) -> None:
        name, arrays = self._weights(node, a)
        source = self._source(node, a["input"])
        if len(self.shapes[source]) != 1:
            raise UnsupportedError("Linear", node.name, "the input must be (N, K): flatten first")
        self._emit(node, "linear", [source], name, arrays=arrays)

    def _bn(self, node: Any, a: dict[str, Any]) -> None:
        if a["training"] or a["running_mean"] is None:
            raise UnsupportedError("BatchNorm2d", node.name, "running statistics are needed")
        arrays = {}
        for key in ("weight", "bias", "running_mean", "running_var"):
            found = self._constant(node, a[key])
            if found is not None:
                arrays[key] = found[1]
        arrays["eps"] = np.asarray(a["eps"], np.float64)
        source = self._source(node, a["input"])
        self._emit(node, "bn", [source], self._module_name(node), arrays=arrays)

    def _add(self, node: Any, a: dict[str, Any]) -> None:
        if a["alpha"] != 1 or not all(hasattr(a[k], "name") for k in ("self", "other")):
            raise UnsupportedError("add", node.name, "only the sum of two activations is supported")
        inputs = [self._source(node, a[k]) for k in ("self", "other")]
        if self.shapes[inputs[0]] != self.shapes[inputs[1]]:
            raise UnsupportedError("add", node.name, "broadcasting is not supported")
        self._emit(node, "add", inputs, str(node.name))

    def _relu(self, node: Any, a: dict[str, Any]) -> None:
        self._emit(node, "relu", [self._source(node, a["self"])], self._module_name(node))

    def _pool(self, node: Any, op: str, source: str, *sizes: Any) -> None:
        attrs = dict(zip(("kernel", "stride", "padding"), map(_pair, sizes), strict=True))
        self._emit(node, op, [source], self._module_name(node), attrs=attrs)

    def _maxpool(self, node: Any, a: dict[str, Any]) -> None:
        if a["ceil_mode"] or _pair(a["dilation"]) != (1, 1):
            raise UnsupportedError("MaxPool2d", node.name, "no ceil_mode, no dilation")
        source, k = self._source(node, a["self"]), a["kernel_size"]
        self._pool(node, "maxpool", source, k, a["stride"] or k, a["padding"])

    def _avgpool(self, node: Any, a: dict[str, Any]) -> None:
        if a["ceil_mode"] or _pair(a["padding"]) != (0, 0) or a["divisor_override"] is not None:
            raise UnsupportedError(
                "AvgPool2d", node.name, "padding, ceil_mode and divisor_override are not supported"
            )
        source, k = self._source(node, a["self"]), a["kernel_size"]
        self._pool(node, "avgpool", source, k, a["stride"] or k, (0, 0))

    def _adaptive(self, node: Any, a: dict[str, Any]) -> None:
        source = self._source(node, a["self"])
        if _pair(a["output_size"]) != (1, 1):
            raise UnsupportedError("AdaptiveAvgPool2d", node.name, "the output size must be 1")
        hw = self.shapes[source][1:]
        self._pool(node, "avgpool", source, hw, hw, (0, 0))

    def _mean(self, node: Any, a: dict[str, Any]) -> None:
        source = self._source(node, a["self"])
        shape = self.shapes[source]
        if len(shape) != 3 or sorted(d % 4 for d in a["dim"] or ()) != [2, 3]:
            raise UnsupportedError("mean", node.name, "only the mean over height and width")
        # Without keepdim the output is (N, C): a pool whose shape is one-dimensional.
        self._pool(node, "avgpool", source, shape[1:], shape[1:], (0, 0))

    def _reshape(self, node: Any, a: dict[str, Any]) -> None:
        source = self._source(node, a["self"])
        shape = tuple(int(v) for v in node.meta["val"].shape)
        old = self.shapes[source]
        batch = int(node.args[0].meta["val"].shape[0])
        if shape[0] != batch or shape[1:] not in (old, (math.prod(old),)):
            raise UnsupportedError(
                str(node.target), node.name, f"{old} to {shape[1:]}; only to (N, -1) is supported"
            )
        if shape[1:] == old:
            self.alias[node.name] = source
        else:
            self._emit(node, "flatten", [source], self._module_name(node))
