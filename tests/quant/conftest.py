"""Small networks and batches for the quant tests; one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)


class SmallNet(nn.Module):
    """Two residual forms, max pool, linear: 4-channel 8x8 inputs are enough to meet every rule."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.a = nn.Conv2d(4, 6, 3, 2, 1)
        self.bn_late = nn.BatchNorm2d(6)  # declared before the norm it must not be confused with
        self.bn = nn.BatchNorm2d(4)
        self.b = nn.Conv2d(6, 6, 3, 1, 1, bias=False)
        self.short = nn.Conv2d(4, 6, 1, 2)
        self.fc = nn.Linear(6 * 2 * 2, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn(self.conv(x)))
        y = F.relu(self.a(x))
        y = F.relu(self.bn_late(self.b(y)) + self.short(x))
        y = F.relu(F.max_pool2d(y, 2))
        logits: torch.Tensor = self.fc(torch.flatten(y, 1))
        return logits


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Give batch norms uneven statistics; eval mode."""
    rng = torch.Generator().manual_seed(seed)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            n = m.num_features
            assert m.running_mean is not None and m.running_var is not None
            m.running_mean.copy_(torch.randn(n, generator=rng) * 0.3)
            m.running_var.copy_(torch.rand(n, generator=rng) + 0.3)
            m.weight.data.copy_(torch.randn(n, generator=rng))
            m.bias.data.copy_(torch.randn(n, generator=rng) * 0.3)
    return model.eval()


@pytest.fixture
def small_net() -> nn.Module:
    torch.manual_seed(0)
    return randomise(SmallNet(), 0)


@pytest.fixture
def run_onnx() -> Callable[..., np.ndarray[Any, Any]]:
    """Run an ONNX file in stock onnxruntime on one thread."""

    def run(path: Any, optimise: bool = True, **inputs: np.ndarray[Any, Any]) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        if not optimise:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)[0]

    return run
