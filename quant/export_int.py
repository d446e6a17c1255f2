"""Integer ONNX: only integer operators between ``input_q`` and ``output``, exact in onnxruntime.

::

    input_q (uint8, NHWC) --Transpose--> NCHW
    ConvInteger | MatMulInteger (input and weight zero points) --Cast int64--> --Mul m--Add k
    [--Add (skip * m2 * 2^t)]--Div 2^s--Sub (2^(62-s) - zp)--Clip--Cast uint8-->

``k = bias * m + 2^(s-1) + 2^62 - zp_skip * m2 * 2^t``: ONNX integer division truncates towards
zero, so 2^62, a multiple of 2^s, makes every dividend positive and is taken off behind the
division; all sums stay below 2^62 + 2^56. Weights are uint8 with zero point 128, because some of
onnxruntime's uint8 x int8 kernels saturate on x86 processors without VNNI; uint8 x uint8 is exact.
Average pools are sums (ReduceSum, or ConvInteger with ones); max pools work on uint8.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from hessbit.quant.model import QRegion, QTensor, QuantizedModel
from hessbit.quant.onnx_util import GraphBuilder, value_info

_LIFT = 62
_WEIGHT_ZERO = 128


def export_integer(model: QuantizedModel, path: str | Path) -> None:
    """Write the integer ONNX file (``*.int.onnx``), equal to `QuantizedModel.run` bit for bit.

    Parameters
    ----------
    model : QuantizedModel
    path : path
        Written to a temporary file first, then renamed. The graph takes ``input_q``, uint8
        ``(N, H, W, C)``, and gives ``output``, uint8 ``(N, K)`` or ``(N, H, W, C)``.

    Raises
    ------
    ArtifactError
        When the file cannot be written.
    PassError
        When onnx's checker refuses the graph (a fault of hessbit).
    """
    g = GraphBuilder()
    c, h, w = model.qtensors["input"].shape
    g.node("Transpose", ["input_q"], "input", "input/NCHW", perm=[0, 3, 1, 2])
    for r in model.regions:
        if r.kind == "maxpool":
            g.node(
                "MaxPool",
                [r.input],
                r.name,
                r.name,
                kernel_shape=list(r.kernel),
                strides=list(r.stride),
                pads=[*r.padding, *r.padding],
            )
            continue
        x = model.qtensors[r.input]
        acc = _layer_sum(g, r, x) if r.is_layer else _pool_sum(g, r, x)
        _requantize(g, model, r, acc)
    shape = model.qtensors[model.output].shape
    if model.flatten_output:
        g.node("Flatten", [model.output], "output", "output/Flatten", axis=1)
        shape = (int(np.prod(shape)),)
    elif len(shape) == 3:
        g.node("Transpose", [model.output], "output", "output/NHWC", perm=[0, 2, 3, 1])
        shape = (shape[1], shape[2], shape[0])
    else:
        g.node("Identity", [model.output], "output", "output/Identity")
    g.write(
        path,
        [value_info("input_q", TensorProto.UINT8, ("batch", h, w, c))],
        [value_info("output", TensorProto.UINT8, ("batch", *shape))],
        "hessbit integer",
    )


def _zero(g: GraphBuilder, value: int) -> str:
    return g.constant(f"zero.{value}", np.uint8(value))


def _layer_sum(g: GraphBuilder, r: QRegion, x: QTensor) -> str:
    """``sum(w * (q - zp))``: int32, without bias."""
    assert r.weight is not None
    stored = (r.weight.astype(np.int64) + _WEIGHT_ZERO).astype(np.uint8)
    zeros = [_zero(g, x.zero_point), _zero(g, _WEIGHT_ZERO)]
    if r.kind == "linear":
        source = r.input
        if len(x.shape) == 3:
            source = g.node("Flatten", [source], f"{r.name}.flat", f"{r.name}/Flatten", axis=1)
        weight = g.constant(f"{r.name}.weight", np.ascontiguousarray(stored.T))
        return g.node("MatMulInteger", [source, weight, *zeros], f"{r.name}.acc", r.name)
    weight = g.constant(f"{r.name}.weight", stored)
    return g.node(
        "ConvInteger",
        [r.input, weight, *zeros],
        f"{r.name}.acc",
        r.name,
        kernel_shape=list(r.kernel),
        strides=list(r.stride),
        pads=[*r.padding, *r.padding],
        dilations=list(r.dilation),
    )


def _pool_sum(g: GraphBuilder, r: QRegion, x: QTensor) -> str:
    """``sum(q - zp)`` of every window: int32."""
    name, zp = r.name, _zero(g, x.zero_point)
    if r.kernel == x.shape[1:]:
        wide = g.node("Cast", [r.input], f"{name}.wide", f"{name}/Wide", to=TensorProto.INT32)
        total = g.node(
            "ReduceSum",
            [wide, g.constant("axes.hw", np.asarray([2, 3], np.int64))],
            f"{name}.sum",
            name,
            keepdims=1,
        )
        offset = g.constant(
            f"{name}.offset", np.asarray(r.kernel[0] * r.kernel[1] * x.zero_point, np.int32)
        )
        return g.node("Sub", [total, offset], f"{name}.acc", f"{name}/Offset")
    channels = x.shape[0]
    ones = g.constant(f"{name}.ones", np.ones((channels, 1, *r.kernel), np.uint8))
    return g.node(
        "ConvInteger",
        [r.input, ones, zp],
        f"{name}.acc",
        name,
        group=channels,
        kernel_shape=list(r.kernel),
        strides=list(r.stride),
    )


def _requantize(g: GraphBuilder, model: QuantizedModel, r: QRegion, acc: str) -> None:
    c, name = model.constants[r.name], r.name
    flat = len(model.qtensors[name].shape) == 1

    def channelwise(suffix: str, value: NDArray[np.int64]) -> str:
        shaped = value if flat else value.reshape(-1, 1, 1)
        return g.constant(f"{name}.{suffix}", np.ascontiguousarray(shaped.astype(np.int64)))

    bias = np.zeros_like(c.m) if r.bias is None else r.bias.astype(np.int64)  # zp is in the sum
    skip_gain = c.m2 << c.t
    k = bias * c.m + (np.int64(1) << (c.s - 1)) + (np.int64(1) << _LIFT) - c.zp_skip * skip_gain
    y = g.node("Cast", [acc], f"{name}.acc64", f"{name}/Cast64", to=TensorProto.INT64)
    y = g.node("Mul", [y, channelwise("m", c.m)], f"{name}.scaled", f"{name}/Mul")
    y = g.node("Add", [y, channelwise("k", k)], f"{name}.biased", f"{name}/Bias")
    if r.skip is not None:
        s = g.node("Cast", [r.skip], f"{name}.skip64", f"{name}/CastSkip", to=TensorProto.INT64)
        s = g.node("Mul", [s, channelwise("m2", skip_gain)], f"{name}.skip", f"{name}/MulSkip")
        y = g.node("Add", [y, s], f"{name}.total", f"{name}/Add")
    divisor = channelwise("divisor", np.int64(1) << c.s)
    y = g.node("Div", [y, divisor], f"{name}.quotient", f"{name}/Div")
    lift = (np.int64(1) << (_LIFT - c.s)) - c.zp
    y = g.node("Sub", [y, channelwise("lift", lift)], f"{name}.shifted", f"{name}/Sub")
    bounds = [g.constant(f"bound.{v}", np.asarray(v, np.int64)) for v in (c.lo, c.hi)]
    y = g.node("Clip", [y, *bounds], f"{name}.clipped", f"{name}/Clip")
    g.node("Cast", [y], name, f"{name}/Cast8", to=TensorProto.UINT8)
