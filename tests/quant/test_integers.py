"""Float graph to integers to ONNX, on random networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from hessbit import quant
from hessbit.errors import ConfigError, ModelError, NumericsError, ShapeError
from hessbit.quant.export_qdq import storage_types

Run = Callable[..., np.ndarray[Any, Any]]


class RandomNet(nn.Module):
    """A random stack of convolutions, residual blocks and pools, drawn by hypothesis."""

    def __init__(self, draw: Any) -> None:
        super().__init__()
        self.steps: list[tuple[str, Any]] = []
        self.mods = nn.ModuleList()
        channels, size = 3, 8

        def conv(c_in: int, c_out: int, k: int, stride: int, bn: bool) -> nn.Module:
            one = nn.Conv2d(c_in, c_out, k, stride, k // 2, bias=not bn)
            return nn.Sequential(one, nn.BatchNorm2d(c_out)) if bn else one

        def boolean() -> bool:
            return bool(draw(st.booleans()))

        for _ in range(draw(st.integers(1, 3))):
            kind = draw(st.sampled_from(["conv", "block", "down", "max", "avg"]))
            if kind in ("max", "avg", "down") and size < 4:
                kind = "conv"
            if kind in ("max", "avg") and not self.steps:
                kind = "conv"
            if kind == "conv":
                new = draw(st.sampled_from([2, 5, 8]))
                self.mods.append(conv(channels, new, draw(st.sampled_from([1, 3])), 1, boolean()))
                self.steps.append(("conv", boolean()))
                channels = new
            elif kind == "block":
                self.mods.append(conv(channels, channels, 3, 1, boolean()))
                self.mods.append(conv(channels, channels, 3, 1, boolean()))
                self.steps.append(("block", boolean()))
            elif kind == "down":
                self.mods.append(conv(channels, 6, 3, 2, boolean()))
                self.mods.append(conv(6, 6, 3, 1, boolean()))
                self.mods.append(conv(channels, 6, 1, 2, False))
                self.steps.append(("down", boolean()))
                channels, size = 6, (size + 1) // 2
            else:
                self.steps.append((kind, None))
                size //= 2
        self.tail = draw(st.sampled_from(["gap", "flatten", "map"]))
        if self.tail == "map" and self.steps[-1][0] in ("max", "avg"):
            self.tail = "gap"
        if self.tail != "map":
            self.fc = nn.Linear(channels * (size * size if self.tail == "flatten" else 1), 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mods = iter(self.mods)
        for kind, relu in self.steps:
            if kind == "conv":
                x = next(mods)(x)
                x = F.relu(x) if relu else x
            elif kind == "block":
                first, second = next(mods), next(mods)
                y = second(F.relu(first(x))) + x
                x = F.relu(y) if relu else y
            elif kind == "down":
                first, second, short = next(mods), next(mods), next(mods)
                y = second(F.relu(first(x))) + short(x)
                x = F.relu(y) if relu else y
            else:
                x = F.max_pool2d(x, 2) if kind == "max" else F.avg_pool2d(x, 2)
        if self.tail == "map":
            return x
        if self.tail == "gap":
            x = F.adaptive_avg_pool2d(x, 1)
        logits: torch.Tensor = self.fc(torch.flatten(x, 1))
        return logits


def random_bits(graph: quant.FloatGraph, draw: Any) -> quant.BitAssignment:
    acts = {}
    for tensor, readers in graph.groups().items():
        width = 8 if tensor in graph.byte_tensors() else draw(st.integers(1, 8))
        acts.update(dict.fromkeys(readers, width))
    return quant.BitAssignment(
        {n: quant.LayerBits(draw(st.integers(1, 8)), acts[n]) for n in quant.layer_names(graph)}
    )


def draw_model(data: Any) -> tuple[quant.QuantizedModel, np.ndarray[Any, Any]]:
    seed = data.draw(st.integers(0, 2**16))
    torch.manual_seed(seed)
    net = RandomNet(data.draw)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            assert m.running_mean is not None and m.running_var is not None
            m.running_mean.normal_(0, 0.3)
            m.running_var.uniform_(0.3, 1.3)
            m.weight.data.normal_()
            m.weight.data[0] = 0.0  # a dead channel
    images = np.random.default_rng(seed).integers(0, 256, (6, 8, 8, 3), np.uint8)
    x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 128) / 64
    graph = quant.capture(net.eval(), x[:1])
    bits = random_bits(graph, data.draw)
    observer = data.draw(st.sampled_from(["mse", "minmax", "percentile"]))
    rounding = data.draw(st.sampled_from(["nearest", "compensated"]))
    return quant.quantize(graph, bits, [x], observer=observer, rounding=rounding), images


def one_region_models(q: quant.QuantizedModel) -> list[quant.QuantizedModel]:
    """Each region as a network of its own, where its input can serve as network input."""
    return [
        quant.QuantizedModel(q.regions[: i + 1], {
            t: q.qtensors[t] for t in ("input", *(r.name for r in q.regions[: i + 1]))
        }, r.name)
        for i, r in enumerate(q.regions)
    ]  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_integer_onnx_is_equal_and_qdq_is_close(
    data: Any, tmp_path_factory: Any, run_onnx: Run
) -> None:
    q, images = draw_model(data)
    folder = tmp_path_factory.mktemp("net")
    path = folder / "net.int.onnx"
    quant.export_integer(q, path)
    stored = q.run(images)
    np.testing.assert_array_equal(run_onnx(path, input_q=images), stored)
    q.save(folder / "net.hbq")
    again = quant.load(folder / "net.hbq")
    np.testing.assert_array_equal(again.run(images), stored)
    # QDQ: expose every tensor and compare a region wherever its inputs agree exactly
    quant.export_qdq(q, folder / "net.onnx")
    x = (images.transpose(0, 3, 1, 2).astype(np.float32) - 128) / 64
    run_onnx(folder / "net.onnx", input=x)  # with all of onnxruntime's fusions
    model = onnx.load(folder / "net.onnx")
    kinds = storage_types(q)
    del model.graph.output[:]
    names = [r.name for r in q.regions]
    for n in names:
        clipped = kinds[n] == onnx.TensorProto.UINT8 and q.qtensors[n].bits < 8
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(f"{n}.clip" if clipped else f"{n}.q", kinds[n], None)
        )
        model.graph.node.append(
            onnx.helper.make_node(
                "Cast", [model.graph.output[-1].name], [f"{n}.u8"], to=onnx.TensorProto.UINT8
            )
        )
    del model.graph.output[:]
    for n in names:
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(f"{n}.u8", onnx.TensorProto.UINT8, None)
        )
    onnx.save(model, folder / "all.onnx")
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(str(folder / "all.onnx"), options)
    simulated = dict(zip(names, session.run(None, {"input": x}), strict=True))
    values = {"input": images}
    values |= {n: v.transpose(0, 2, 3, 1) if v.ndim == 4 else v for n, v in simulated.items()}
    wrong = total = 0
    for r in q.regions:  # the integer region on the simulated inputs: at most one step apart
        step = np.abs(q.run_region(r, values).astype(int) - values[r.name].astype(int))
        assert step.max() <= 1, r.name
        wrong, total = wrong + int(step.sum()), total + step.size
    assert wrong <= 0.02 * total + 2


def test_eight_bits_follow_the_float_network(small_net: nn.Module) -> None:
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3), np.uint8)
    x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 128) / 64
    graph = quant.capture(small_net, x[:1])
    errors = []
    for wb, ab in [(8, 8), (4, 4), (2, 2)]:
        q = quant.quantize(graph, quant.BitAssignment.uniform(graph, wb, ab), [x])
        with torch.no_grad():
            error = q.dequantize(q.run(images)) - small_net(x).numpy()
            errors.append(float(np.sqrt((error**2).mean()) / small_net(x).std()))
        assert all(float(c.error) <= 2**-12 for c in q.constants.values())
    assert errors[0] < 0.03
    assert errors[0] < errors[1] < errors[2] < 1.0


def test_relu_has_zero_point_zero_and_skip_has_not(small_net: nn.Module) -> None:
    x = torch.randn(8, 3, 8, 8)
    graph = quant.capture(small_net, x[:1])
    q = quant.quantize(graph, quant.BitAssignment.uniform(graph, 4, 4), [x])
    zeros = {n: t.zero_point for n, t in q.qtensors.items()}
    assert zeros["conv"] == zeros["a"] == zeros["short"] == 0
    assert zeros["b"] > 0 and q.qtensors["b"].bits == 8
    assert q.qtensors["max_pool2d"] == quant.QTensor(
        **{**vars(q.qtensors["short"]), "name": "max_pool2d", "shape": (6, 2, 2)}
    )
    assert q.weight_bytes == quant.cost(graph, quant.BitAssignment.uniform(graph, 4, 4)).bytes
    assert quant.geometry(q)[-1] == quant.geometry(graph)[-1]
    assert quant.geometry(q)[-1].kh == 2


def test_compensated_rounding_beats_nearest(small_net: nn.Module) -> None:
    torch.manual_seed(3)
    x = ((torch.randn(64, 3, 8, 8) * 64).round().clamp(-128, 127)) / 64
    graph = quant.capture(small_net, x[:1])
    bits = quant.BitAssignment.uniform(graph, 2, 8)
    with torch.no_grad():
        want = small_net(x).numpy()
    errors = {}
    for rounding in ("nearest", "compensated"):
        q = quant.quantize(graph, bits, [x], rounding=rounding)
        got = q.dequantize(q.run(q.quantize_input(x.numpy())))
        errors[rounding] = float(((got - want) ** 2).mean())
    assert errors["compensated"] < errors["nearest"]


def test_accumulator_overflow_is_refused() -> None:
    k = 70_000
    layer = nn.Linear(k, 1)
    layer.weight.data.fill_(1.0)
    net = nn.Sequential(nn.Flatten(), layer)
    x = torch.ones(2, 1, 1, k)
    graph = quant.capture(net, x[:1])
    with pytest.raises(NumericsError, match="1"):
        quant.quantize(graph, quant.BitAssignment.uniform(graph, 8, 8), [x], rounding="nearest")


def test_bad_inputs(small_net: nn.Module) -> None:
    x = torch.randn(4, 3, 8, 8)
    graph = quant.capture(small_net, x[:1])
    bits = quant.BitAssignment.uniform(graph, 4, 4)
    with pytest.raises(ModelError, match="batches"):
        quant.quantize(graph, bits, [])
    with pytest.raises(ModelError, match="NaN"):
        quant.quantize(graph, bits, [x * float("nan")])
    with pytest.raises(ConfigError, match="observer"):
        quant.quantize(graph, bits, [x], observer="best")
    with pytest.raises(ConfigError, match="rounding"):
        quant.quantize(graph, bits, [x], rounding="best")
    with pytest.raises(ShapeError):
        quant.quantize(graph, bits, [torch.zeros(1, 3, 9, 9)])
    q = quant.quantize(graph, bits, [x])
    for images in (np.zeros((1, 3, 8, 8), np.uint8), np.zeros((1, 8, 8, 3), np.float32)):
        with pytest.raises(ShapeError):
            q.run(images)  # type: ignore[arg-type]


def test_atomic_export_leaves_nothing_behind(small_net: nn.Module, tmp_path: Path) -> None:
    x = torch.randn(4, 3, 8, 8)
    graph = quant.capture(small_net, x[:1])
    q = quant.quantize(graph, quant.BitAssignment.uniform(graph, 4, 4), [x])
    quant.export_qdq(q, tmp_path / "a.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]
    nodes = {n.name for n in onnx.load(tmp_path / "a.onnx").graph.node}
    assert {"conv", "a", "b", "short", "fc", "short/Add", "fc/Flatten"} <= nodes
