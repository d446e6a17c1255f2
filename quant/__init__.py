"""Post-training quantisation: capture, curvature, bit allocation, integers, ONNX.

See ``quant/README.md`` for the flow, the signatures and the file formats.
"""

from __future__ import annotations

from hessbit.geometry import LayerGeometry
from hessbit.quant.allocate import Cost, ParetoPoint, allocate, cost, omega, pareto
from hessbit.quant.bits import BitAssignment, LayerBits
from hessbit.quant.capture import capture
from hessbit.quant.checkpoint import load_checkpoint, load_model
from hessbit.quant.curvature import (
    CurvatureReport,
    Eigenvalue,
    Trace,
    analyze,
    top_eigenvalue,
)
from hessbit.quant.export_int import export_integer
from hessbit.quant.export_qdq import export_qdq
from hessbit.quant.graph import FloatGraph, Region, layer_names, region_geometry
from hessbit.quant.model import QRegion, QTensor, QuantizedModel
from hessbit.quant.quantize import quantize
from hessbit.quant.sensitivity import SensitivityTable, sensitivities
from hessbit.quant.store import load

__all__ = [
    "BitAssignment",
    "Cost",
    "CurvatureReport",
    "Eigenvalue",
    "FloatGraph",
    "LayerBits",
    "ParetoPoint",
    "QRegion",
    "QTensor",
    "QuantizedModel",
    "Region",
    "SensitivityTable",
    "Trace",
    "allocate",
    "analyze",
    "capture",
    "cost",
    "export_integer",
    "export_qdq",
    "geometry",
    "layer_names",
    "load",
    "load_checkpoint",
    "load_model",
    "omega",
    "pareto",
    "quantize",
    "sensitivities",
    "top_eigenvalue",
]


def geometry(graph: FloatGraph | QuantizedModel) -> list[LayerGeometry]:
    """Geometry of every layer in order; see `hessbit.quant.graph.region_geometry`.

    Raises
    ------
    UnsupportedError
        For a convolution that `LayerGeometry` cannot describe.
    """
    if isinstance(graph, FloatGraph):
        return [region_geometry(r) for r in graph.layers]
    out = []
    for q in graph.layers:
        shapes = graph.qtensors[q.input].shape, graph.qtensors[q.name].shape
        region = Region(
            name=q.name,
            kind=q.kind,
            input=q.input,
            in_shape=shapes[0],
            out_shape=shapes[1],
            skip=q.skip,
            kernel=q.kernel,
            stride=q.stride,
            padding=q.padding,
            dilation=q.dilation,
        )
        out.append(region_geometry(region))
    return out
