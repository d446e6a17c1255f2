"""QDQ ONNX: standard operators, what the compiler reads and onnxruntime runs.

Form, for a layer called ``L`` (names of nodes are those of tensors without the last part)::

    input --QuantizeLinear--DequantizeLinear--> input.dq                 (uint8, scalar scale)
    L.weight --[Clip]--DequantizeLinear(axis=0)--> L.weight.dq           (L.weight.scale, .zp = 0)
    L.bias (int32) --DequantizeLinear(axis=0)--> L.bias.dq               (L.bias.scale = s_w * s_x)
    X.dq, L.weight.dq, L.bias.dq --Conv | Gemm(transB=1)--> L.acc
    [L.acc, S.dq --Add--> L.sum]  [--Relu--> L.relu]
    --QuantizeLinear--> L.q  [--Clip--> L.clip]  --DequantizeLinear--> L.dq

* Weights: native INT2, INT4 and INT8 initializers; int8 with ``Clip(-l, l)``, ``l = 2^(b-1) - 1``,
  for 3, 5, 6 and 7 bits, and for 1 bit with ``l = 1`` and no zeros among the values.
* Activations: native UINT2, UINT4, UINT8; uint8 with ``Clip(0, 2^b - 1)`` for the other widths.
* Exceptions, because onnxruntime 1.32 would fuse the nodes to one of its 8-bit kernels, which has
  no such form, and refuse the file; all without a residual addition:

  1. a convolution whose input and output are both UINT2 or both UINT4, with weights that are not
     INT4: its output is uint8 with ``Clip``; so is that of an average pool from UINT2 to UINT2;
  2. the input and output of a max pool are uint8 with ``Clip``, never UINT2 or UINT4;
  3. 2-bit weights of a convolution between two tensors stored as uint8 are int8 with
     ``Clip(-2, 1)``.
* Pools: X.dq --GlobalAveragePool | AveragePool | MaxPool--> L.acc, then as above. A linear layer
  behind ``(C, H, W)`` reads X.dq through Flatten (``L.flat``).
* The last DequantizeLinear (or a Flatten behind it) makes ``output``. Opset 21, or 25 where a 2-bit
  type occurs. The model's metadata names producer, version and form.

onnxruntime's own 8-bit kernels saturate on x86 processors without VNNI instructions unless the
session option ``session.x64quantprecision`` is 1; the integer file does not depend on it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto

from hessbit.quant.calibrate import weight_limit
from hessbit.quant.model import QRegion, QTensor, QuantizedModel
from hessbit.quant.onnx_util import INT, UINT, GraphBuilder, value_info


def export_qdq(model: QuantizedModel, path: str | Path) -> None:
    """Write the QDQ ONNX file.

    Parameters
    ----------
    model : QuantizedModel
    path : path
        Written to a temporary file first, then renamed.

    Raises
    ------
    ArtifactError
        When the file cannot be written.
    PassError
        When onnx's checker refuses the graph (a fault of hessbit).
    """
    g = GraphBuilder()
    tensors = model.qtensors
    kinds = storage_types(model)
    _requantize(g, "input", tensors["input"], kinds["input"], "input.dq")
    last = model.output
    final = "output.map" if model.flatten_output else "output"
    dq = {name: f"{name}.dq" for name in tensors}
    if last != "input":
        dq[last] = final
    for r in model.regions:
        x, y = tensors[r.input], tensors[r.name]
        if r.is_layer:
            native = r.weight_bits in INT and not (
                r.kind == "conv"
                and r.weight_bits == 2
                and r.skip is None
                and kinds[r.input] == kinds[r.name] == TensorProto.UINT8
            )
            value = _layer(g, r, x, dq[r.input], native)
        else:
            value = _pool(g, r, x, dq[r.input])
        if r.skip is not None:
            value = g.node("Add", [value, dq[r.skip]], f"{r.name}.sum", f"{r.name}/Add")
        if r.relu:
            value = g.node("Relu", [value], f"{r.name}.relu", f"{r.name}/Relu")
        _requantize(g, value, y, kinds[r.name], dq[r.name])
    shape = tensors[last].shape
    if model.flatten_output:
        g.node("Flatten", [final], "output", "output/Flatten", axis=1)
        shape = (int(np.prod(shape)),)
    g.write(
        path,
        [value_info("input", TensorProto.FLOAT, ("batch", *tensors["input"].shape))],
        [value_info("output", TensorProto.FLOAT, ("batch", *shape))],
        "hessbit QDQ",
    )


def storage_types(model: QuantizedModel) -> dict[str, int]:
    """Onnx type of every stored tensor; see the exceptions at the head of this module."""
    kinds = {name: int(UINT.get(t.bits, TensorProto.UINT8)) for name, t in model.qtensors.items()}
    for r in model.regions:
        if r.kind == "maxpool":
            kinds[r.input] = kinds[r.name] = int(TensorProto.UINT8)
    for r in model.regions:
        fused = (r.kind == "conv" and r.weight_bits != 4 and r.skip is None) or (
            r.kind == "avgpool" and kinds[r.name] == TensorProto.UINT2
        )
        if fused and kinds[r.input] == kinds[r.name]:
            kinds[r.name] = int(TensorProto.UINT8)
    return kinds


def _requantize(g: GraphBuilder, value: str, t: QTensor, kind: int, out: str) -> None:
    scale = g.constant(f"{t.name}.scale", np.float32(t.scale))
    zp = g.packed(f"{t.name}.zp", t.zero_point, kind)
    q = g.node("QuantizeLinear", [value, scale, zp], f"{t.name}.q", f"{t.name}/Q")
    if kind == TensorProto.UINT8 and t.bits < 8:
        lo = g.constant("clip.0", np.uint8(0))
        hi = g.constant(f"clip.{t.hi}", np.uint8(t.hi))
        q = g.node("Clip", [q, lo, hi], f"{t.name}.clip", f"{t.name}/Clip")
    g.node("DequantizeLinear", [q, scale, zp], out, f"{t.name}/DQ")


def _weight(g: GraphBuilder, r: QRegion, native: bool) -> str:
    assert r.weight is not None and r.weight_scale is not None
    name = f"{r.name}.weight"
    kind = INT[r.weight_bits] if native else TensorProto.INT8
    q = g.packed(name, r.weight, kind)
    scale = g.constant(f"{name}.scale", r.weight_scale)
    zp = g.packed(f"{name}.zp", np.zeros(len(r.weight), np.int64), kind)
    if not native:
        limit = weight_limit(r.weight_bits)
        low, high = (-2, 1) if r.weight_bits == 2 else (-limit, limit)
        bounds = [g.constant(f"weight_clip.{v}", np.int8(v)) for v in (low, high)]
        q = g.node("Clip", [q, *bounds], f"{name}.clip", f"{name}/Clip")
    return g.node("DequantizeLinear", [q, scale, zp], f"{name}.dq", f"{name}/DQ", axis=0)


def _layer(g: GraphBuilder, r: QRegion, x: QTensor, source: str, native: bool) -> str:
    assert r.weight_scale is not None and r.bias is not None
    weight = _weight(g, r, native)
    bias = g.constant(f"{r.name}.bias", r.bias)
    scale = (r.weight_scale.astype(np.float64) * x.scale).astype(np.float32)
    scale_name = g.constant(f"{r.name}.bias.scale", scale)
    bias = g.node("DequantizeLinear", [bias, scale_name], f"{bias}.dq", f"{bias}/DQ", axis=0)
    if r.kind == "linear":
        if len(x.shape) == 3:
            source = g.node("Flatten", [source], f"{r.name}.flat", f"{r.name}/Flatten", axis=1)
        return g.node("Gemm", [source, weight, bias], f"{r.name}.acc", r.name, transB=1)
    return g.node(
        "Conv",
        [source, weight, bias],
        f"{r.name}.acc",
        r.name,
        kernel_shape=list(r.kernel),
        strides=list(r.stride),
        pads=[*r.padding, *r.padding],
        dilations=list(r.dilation),
    )


def _pool(g: GraphBuilder, r: QRegion, x: QTensor, source: str) -> str:
    if r.kind == "avgpool" and r.kernel == x.shape[1:]:
        return g.node("GlobalAveragePool", [source], f"{r.name}.acc", r.name)
    return g.node(
        "MaxPool" if r.kind == "maxpool" else "AveragePool",
        [source],
        f"{r.name}.acc",
        r.name,
        kernel_shape=list(r.kernel),
        strides=list(r.stride),
        pads=[*r.padding, *r.padding],
    )
