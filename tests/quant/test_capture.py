"""Capture, folding and fusion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hessbit import quant
from hessbit.errors import ModelError, ShapeError, UnsupportedError
from hessbit.quant.graph import forward, parameters
from hessbit.quant.zoo import ResNet8

X = torch.zeros(1, 3, 8, 8)


def value(graph: quant.FloatGraph, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return forward(graph, x, parameters(graph))


def test_small_net_equals_torch(small_net: nn.Module) -> None:
    graph = quant.capture(small_net, X)
    x = torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(value(graph, x), small_net(x), atol=1e-5, rtol=1e-4)
    short = graph.region("short")
    assert (short.skip, short.relu, graph.region("b").relu) == ("b", True, False)
    assert [r.name for r in graph.regions if r.kind == "maxpool"] == ["max_pool2d"]
    assert graph.groups() == {
        "input": ["conv"],
        "conv": ["a", "short"],
        "a": ["b"],
        "short": ["fc"],
    }


def test_resnet8_names_and_geometry() -> None:
    graph = quant.capture(ResNet8(), torch.zeros(2, 3, 32, 32))
    assert quant.layer_names(graph)[:3] == ["conv", "block1.conv1", "block1.conv2"]
    assert len(graph.layers) == 10
    shapes = quant.geometry(graph)
    assert sum(g.macs for g in shapes) == 12_501_632
    assert [g.name for g in shapes if g.has_skip] == [
        "block1.conv2", "block2.shortcut", "block3.shortcut"
    ]  # fmt: skip


class Forms(nn.Module):
    """Every other supported form: same padding, mean, dropout, identity, view, dilation."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding="same", dilation=2)
        self.id = nn.Identity()
        self.drop = nn.Dropout(0.5)
        self.pool = nn.AvgPool2d(2)
        self.b = nn.Conv2d(4, 7, (3, 1), (2, 1), (1, 0))
        self.fc = nn.Linear(7, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.pool(self.drop(self.id(torch.relu(self.a(x)))))
        y = self.b(y).relu().mean((2, 3))
        logits: torch.Tensor = self.head(F.relu(self.fc(y.view(y.size(0), -1))))
        return logits


def test_other_forms() -> None:
    torch.manual_seed(1)
    model = Forms().train()
    graph = quant.capture(model, X)
    assert model.training and model.drop.training
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(value(graph, x), model.eval()(x), atol=1e-5, rtol=1e-4)


class Reused(nn.Module):
    """A layer used twice, in-place operators, ReLU behind max pool, a fixed view."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 3, 3, 1, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(48, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.c(self.relu(self.c(x)))
        y += x
        y = self.relu(F.max_pool2d(y, 2)).view(-1, 48)
        logits: torch.Tensor = self.fc(y)
        return logits


def test_reused_layers_and_no_images() -> None:
    torch.manual_seed(1)
    model, x = Reused(), torch.randn(2, 3, 8, 8)
    graph = quant.capture(model, X)
    assert quant.layer_names(graph) == ["c", "c_2", "fc"]
    with torch.no_grad():
        torch.testing.assert_close(value(graph, x), model(x), atol=1e-5, rtol=1e-4)
    q = quant.quantize(graph, quant.BitAssignment.uniform(graph, 4, 4), [x])
    assert q.run(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 4)


class Wrap(nn.Module):
    def __init__(self, tail: object, channels: int = 4, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, 1, 1, groups=groups)
        self.bn = nn.BatchNorm2d(channels)
        self.tail = tail

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tail(self, self.conv(x))  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize(
    ("tail", "word"),
    [
        (lambda m, y: torch.sigmoid(y), "sigmoid"),
        (lambda m, y: y * 2, "mul"),
        (lambda m, y: y + 1.0, "add"),
        (lambda m, y: y + y, "add"),
        (lambda m, y: m.bn(F.relu(y)), "BatchNorm2d"),
        (lambda m, y: F.avg_pool2d(y, 3, 1, 1), "AvgPool2d"),
        (lambda m, y: F.max_pool2d(y, 3, 2, ceil_mode=True), "MaxPool2d"),
        (lambda m, y: F.adaptive_avg_pool2d(y, 2), "AdaptiveAvgPool2d"),
        (lambda m, y: torch.cat([y, y], 1), "cat"),
        (lambda m, y: F.relu(F.avg_pool2d(y, 2)), "ReLU"),
        (lambda m, y: (y, y), "output"),
        (lambda m, y: y.reshape(-1, 8), "reshape"),
    ],
)
def test_unsupported_is_named(tail: object, word: str) -> None:
    with pytest.raises(UnsupportedError, match=word) as caught:
        quant.capture(Wrap(tail), X)
    assert "\n" not in str(caught.value)


def test_grouped_convolution_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="groups"):
        quant.capture(Wrap(lambda m, y: y, 3, 3), X)


def test_nan_weights_are_refused(small_net: nn.Module) -> None:
    small_net.get_parameter("a.weight").data[0, 0, 0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"a\.weight"):
        quant.capture(small_net, X)


def test_shapes_and_emptiness() -> None:
    with pytest.raises(ShapeError):
        quant.capture(ResNet8(), torch.zeros(3, 32, 32))
    with pytest.raises(ModelError, match="no Conv2d"):
        quant.capture(nn.MaxPool2d(2), X)
