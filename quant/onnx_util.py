"""Small helpers around onnx: initializers of every width, nodes, finishing and writing a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import hessbit
from hessbit.errors import HessbitError, PassError
from hessbit.files import write_atomic

INT = {2: TensorProto.INT2, 4: TensorProto.INT4, 8: TensorProto.INT8}
UINT = {2: TensorProto.UINT2, 4: TensorProto.UINT4, 8: TensorProto.UINT8}
IR_VERSION = {21: 10, 25: 12}


class GraphBuilder:
    """Collects nodes and initializers; every node has a name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.opset = 21

    def constant(self, name: str, value: np.ndarray[Any, Any] | np.generic) -> str:
        """Add an initializer of a numpy type once; its name."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def packed(self, name: str, value: np.ndarray[Any, Any] | int, kind: int) -> str:
        """Add an initializer of any onnx integer type, also of 2 and 4 bits; its name."""
        if kind in (TensorProto.INT2, TensorProto.UINT2):
            self.opset = 25
        if name not in self.initializers:
            array = np.asarray(value)
            self.initializers[name] = helper.make_tensor(
                name, kind, array.shape, array.reshape(-1).tolist()
            )
        return name

    def node(self, op: str, inputs: list[str], output: str, name: str, **attributes: Any) -> str:
        """Add a node with one output; the output's name."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def write(self, path: str | Path, inputs: list[Any], outputs: list[Any], title: str) -> None:
        """Check and write the file, whole or not at all.

        Raises
        ------
        PassError
            When onnx's checker refuses the graph.
        ArtifactError
            When the file cannot be written.
        """
        graph = helper.make_graph(
            self.nodes, title, inputs, outputs, list(self.initializers.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=IR_VERSION[self.opset],
            producer_name="hessbit",
            producer_version=hessbit.__version__,
        )
        helper.set_model_props(
            model, {"producer": "hessbit", "version": hessbit.__version__, "form": title}
        )
        try:
            onnx.checker.check_model(model, full_check=True)
        except HessbitError:
            raise
        except Exception as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise PassError(f"{title}: onnx refuses the exported graph: {line}") from error
        write_atomic(path, model.SerializeToString())


def value_info(name: str, kind: int, shape: tuple[int | str, ...]) -> Any:
    """Type of a graph input or output; the first axis is ``batch``."""
    return helper.make_tensor_value_info(name, kind, list(shape))
