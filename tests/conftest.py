"""A small trained-like network on files, and the command line called in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NET = '''
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    """Two convolutions with a residual, a pool and a linear layer: all that the compiler fuses."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, 1, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.conv2(y) + y)
        return self.fc(torch.flatten(self.pool(y), 1))

class Sine(Net):
    """The same with an operator that hessbit does not carry."""

    def forward(self, x):
        return super().forward(torch.sin(x))
'''


@dataclass(frozen=True)
class Answer:
    """What one call of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Answer]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Call ``hessbit ARGS`` and return exit code, standard output and standard error."""
    from hessbit.cli import main

    def call(*args: object) -> Answer:
        capfd.readouterr()
        try:
            code = main([str(a) for a in args])
        except SystemExit as leave:
            code = int(leave.code or 0)
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return call


@dataclass(frozen=True)
class Small:
    """Files of a small network: options for every command that takes a network."""

    folder: Path
    module: Path
    checkpoint: Path
    images: Path

    @property
    def options(self) -> list[str]:
        return [
            "--model", f"{self.module}:Net", "--checkpoint", str(self.checkpoint),
            "--input-shape", "3,8,8",
        ]  # fmt: skip

    @property
    def data(self) -> list[str]:
        return ["--data", str(self.images)]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """The network above with random weights (fixed seed), and 24 random images with labels."""
    import torch
    from safetensors.torch import save_file

    from hessbit.quant import load_model

    folder = tmp_path_factory.mktemp("small")
    module, checkpoint, images = (
        folder / "net.py",
        folder / "net.safetensors",
        folder / "images.npz",
    )
    module.write_text(NET)
    torch.manual_seed(5)
    model = load_model(f"{module}:Net")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, checkpoint)
    rng = np.random.default_rng(5)
    np.savez(
        images,
        images=rng.integers(0, 256, (24, 8, 8, 3), dtype=np.uint8),
        labels=rng.integers(0, 10, 24),
    )
    return Small(folder, module, checkpoint, images)
