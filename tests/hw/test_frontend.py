"""The ONNX front end: against onnxruntime, foreign forms of QDQ, refusals by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from nets import Net, random_net
from onnx import TensorProto, helper

from hessbit.errors import ModelError, UnsupportedError
from hessbit.hw.frontend import convert, load_onnx
from hessbit.hw.ir import Conv, Graph, Pool
from hessbit.hw.passes import run_passes
from hessbit.sim.reference import run


def float_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """onnxruntime that computes every operator as written, in float."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def compare(net: Net, images: int = 4, *, exact: float = 0.98) -> Graph:
    """The reference agrees with onnxruntime within one step, and nearly always exactly."""
    model = net.model()
    graph = run_passes(convert(model, "net"))
    x, y = graph.input, graph.output
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 1 << x.bits, (images, *x.shape), dtype=np.uint8)
    real = ((stored.astype(np.float32) - x.zero_point) * np.float32(x.scale)).transpose(0, 3, 1, 2)
    want = float_session(model).run(None, {"input": real})[0]
    got = (run(graph, stored).astype(np.float64) - y.zero_point) * y.scale
    if want.ndim == 4:
        want = want.transpose(0, 2, 3, 1)
    steps = np.abs(got.reshape(want.shape) - want) / y.scale
    assert steps.max() < 1.01
    assert (steps < 0.01).mean() >= exact
    assert got.std() > 0
    return graph


@pytest.mark.parametrize("wb", range(1, 9))
@pytest.mark.parametrize("ob", (1, 2, 3, 4, 5, 8))
def test_convolution(wb: int, ob: int) -> None:
    net = Net(7, 6, 3, seed=wb)
    net.conv(12, 3, wb=wb, ob=ob, stride=1 + wb % 2, relu=ob != 3)
    graph = compare(net)
    op = graph.compute[0]
    assert isinstance(op, Conv) and op.weight_bits == wb and op.bipolar == (wb == 1)
    assert graph.output.bits == ob


def test_residual_pools_and_classifier() -> None:
    net = Net(8, 8, 16)
    skip = net.value
    net.conv(16, 3, skip=skip, wb=5, ob=8)
    compare(net)
    for kind, pad in (("MaxPool", 1), ("AveragePool", 0)):
        net = Net(8, 8, 5)
        net.pool(kind, 3, pad=pad)
        graph = compare(net)
        assert isinstance(graph.compute[0], Conv)  # the copy with padded channels
    net = Net(4, 5, 6)
    net.linear(10)
    graph = compare(net)
    assert graph.compute[0].weights.shape == (10, 4, 5, 6)  # type: ignore[union-attr]
    net = Net(6, 6, 16)
    net.global_pool()
    compare(net)


def test_grouped_and_dilated() -> None:
    net = Net(8, 8, 16)
    net.conv(16, 3, groups=16, wb=8, ob=8)
    compare(net)
    net = Net(9, 9, 4)
    net.conv(8, 3, dilation=2, ob=8, pad=1)
    compare(net)


def test_max_pool_before_the_quantizer_and_without_one() -> None:
    net = Net(8, 8, 3)
    net.conv(16, 3, pool=2, ob=8)
    compare(net)
    net = Net(8, 8, 3)
    net.conv(16, 3, ob=4)
    source, net.value = (
        net.value,
        net.node("MaxPool", [net.value], kernel_shape=[2, 2], strides=[2, 2]),
    )
    net.scale[net.value] = net.scale[source]
    net.shape = (4, 4, 16)
    net.conv(8, 3, ob=8)
    graph = compare(net, exact=0.9)
    assert [type(op) for op in graph.compute] == [Conv, Pool, Conv]


def test_signed_activations_and_float_biases() -> None:
    """What onnxruntime's own quantizer writes: int8 throughout, scales per tensor, float biases."""
    net = Net(6, 6, 3)
    q = net.rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8)
    w = net.node(
        "DequantizeLinear", [net.const(q), net.const(np.float32(0.004)), net.const(np.int8(0))]
    )
    b = net.const(net.rng.normal(0, 0.3, 8).astype(np.float32))
    v = net.node("Dropout", [net.node("Conv", [net.value, w, b], pads=[1] * 4)])
    net.value = net.quantize(v, 8, 0.05, 3, signed=True)
    net.shape = (6, 6, 8)
    graph = compare(net)
    assert graph.output.zero_point == 131
    v = net.node("Relu", [net.value])
    net.value = net.quantize(v, 8, 0.03, -128, signed=True)
    compare(net, exact=0.9)


def test_addition_of_two_tensors_and_matmul() -> None:
    net = Net(6, 6, 16)
    first = net.conv(16, 3, ob=8)
    second = net.conv(16, 1, ob=8)
    net.value = net.quantize(net.node("Add", [first, second]), 8, 0.08)
    compare(net, exact=0.9)
    net = Net(1, 1, 12)
    q, scale = net.weight((12, 5), 4, axis=1)
    flat = net.node("Flatten", [net.value])
    bias = net.const(net.rng.normal(0, 1, 5).astype(np.float32))
    v = net.node("Add", [net.node("MatMul", [flat, q]), bias])
    net.value, net.shape = net.quantize(v, 8, 0.02, 128), (1, 1, 5)
    model = net.model()
    model.graph.output[0].type.tensor_type.shape.dim.pop()
    model.graph.output[0].type.tensor_type.shape.dim.pop()
    graph = run_passes(convert(model, "net"))
    assert graph.output.shape == (1, 1, 5) and len(scale) == 5


def test_relu_of_signed_input_narrows() -> None:
    net = Net(6, 6, 3)
    q, _ = net.weight((8, 3, 3, 3), 4)
    v = net.node("Relu", [net.node("Conv", [net.value, q], pads=[1] * 4)])
    net.value, net.shape = net.quantize(v, 8, 0.03, 0, signed=True), (6, 6, 8)
    graph = compare(net)
    assert (graph.output.bits, graph.output.zero_point) == (7, 0)


@pytest.mark.parametrize("seed", range(4))
def test_random_networks_run(seed: int) -> None:
    net = random_net(seed)
    graph = run_passes(convert(net.model(), "net"))
    x = graph.input
    images = np.random.default_rng(0).integers(0, 1 << x.bits, (3, *x.shape), dtype=np.uint8)
    out = run(graph, images, batch=2)
    assert np.array_equal(out[1], run(graph, images[1])[0])


def refused(net: Net, op: str, text: str) -> None:
    with pytest.raises(UnsupportedError, match=text) as error:
        convert(net.model(), "net")
    assert error.value.op == op


def test_refusals_name_the_node() -> None:
    net = Net(6, 6, 4)
    net.conv(8, 3)
    net.value = net.node(
        "MaxPool",
        [net.node("Conv", [net.value, net.weight((4, 8, 1, 1), 4)[0]])],
        kernel_shape=[2, 2],
    )
    refused(net, "Output", "not quantised")
    net = Net(6, 6, 4)
    v = net.node("Conv", [net.value, net.const(np.zeros((4, 4, 1, 1), np.float32))])
    net.value = net.quantize(v)
    refused(net, "Conv", r"node 'conv\d+': weights must be a quantised constant")
    net = Net(6, 6, 4)
    net.value = net.quantize(
        net.node("AveragePool", [net.value], kernel_shape=[3, 3], pads=[1] * 4)
    )
    refused(net, "AveragePool", "padding")
    net = Net(6, 6, 4)
    net.value = net.quantize(net.node("Reshape", [net.value, net.const(np.array([1, 6, 6, 4]))]))
    refused(net, "Reshape", "flattening")


def test_other_operators_files_and_shapes(tmp_path: Path) -> None:
    net = Net(6, 6, 4)
    net.value = net.node("Sigmoid", [net.value])
    with pytest.raises(
        UnsupportedError, match=r"Sigmoid at node 'sigmoid\d+'.*supported are Quant"
    ):
        load_onnx(net.save(tmp_path / "s.onnx"))
    net = random_net(0)
    path = net.save(tmp_path / "n.onnx")
    data = path.read_bytes()
    for bad in (b"", b"not a model", data[: len(data) // 2], b"\0" * 400):
        path.write_bytes(bad)
        with pytest.raises(ModelError) as error:
            load_onnx(path)
        assert "\n" not in str(error.value)
    with pytest.raises(ModelError, match="cannot read"):
        load_onnx(tmp_path / "missing.onnx")
    net.inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ("n", 3, "height", 8))]
    with pytest.raises(UnsupportedError, match=r"dimension 2 \(height\) is dynamic"):
        convert(net.model(), "net")


def test_corrupt_graphs_never_crash() -> None:
    """Dropping any one node or initializer gives a clean error or a valid graph."""
    from hessbit.errors import HessbitError

    model = random_net(3).model()
    for field in ("node", "initializer"):
        for i in range(len(getattr(model.graph, field))):
            broken = onnx.ModelProto()
            broken.CopyFrom(model)
            del getattr(broken.graph, field)[i]
            try:
                run_passes(convert(broken, "net"))
            except HessbitError as error:
                assert "\n" not in str(error)
