"""The bit assignments that benchmarks compare, and the network that they quantize."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from hessbit import quant
from hessbit.files import ASSETS, load_images
from hessbit.flow import cycle_table
from hessbit.hw.config import AcceleratorConfig
from hessbit.quant import BitAssignment, CurvatureReport, FloatGraph, SensitivityTable

UNIFORM = {"W8A8": (8, 8), "W4A4": (4, 4), "W2A2": (2, 2), "W1A1": (1, 1)}
PROBES = 20
CHECKPOINT = ASSETS / "resnet8-cifar10.safetensors"


def network(checkpoint: str | Path = CHECKPOINT) -> tuple[torch.nn.Module, FloatGraph]:
    """ResNet-8 with its weights, and its graph."""
    model = quant.load_model("hessbit.quant.zoo:ResNet8", checkpoint)
    return model, quant.capture(model, torch.zeros(1, 3, 32, 32))


def calibration() -> list[Any]:
    """The calibration images that ship with hessbit, as batches ``(x, y)``."""
    data = load_images(ASSETS / "cifar10-calibration.npz")
    assert data.labels is not None
    x = (torch.from_numpy(data.images).permute(0, 3, 1, 2).float() - 128) / 64
    return list(zip(x.split(64), torch.from_numpy(data.labels).split(64), strict=True))


def curvature(
    graph: FloatGraph, batches: list[Any], checkpoint: str | Path = CHECKPOINT
) -> tuple[CurvatureReport, SensitivityTable]:
    """The Hessian traces and the sensitivities of ``checkpoint``, kept in ``out/`` once made."""
    key = hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()[:16]
    folder = Path("out") / "benchmarks" / key
    files = folder / "curvature.json", folder / "sensitivity.json"
    if all(f.exists() for f in files):
        return CurvatureReport.load(files[0]), SensitivityTable.load(files[1])
    report = quant.analyze(graph, batches, max_probes=PROBES)
    table = quant.sensitivities(graph, report, batches)
    folder.mkdir(parents=True, exist_ok=True)
    report.save(files[0])
    table.save(files[1])
    return report, table


def mixed(
    graph: FloatGraph, table: SensitivityTable, config: AcceleratorConfig, share: float = 0.5
) -> BitAssignment:
    """2..8 bits chosen by curvature under ``share`` of the predicted W8A8 cycles."""
    cycles = cycle_table(graph, config)
    reference = quant.cost(graph, BitAssignment.uniform(graph, 8, 8), cycles)
    assert reference.cycles is not None
    return quant.allocate(graph, table, max_cycles=share * reference.cycles, cycles=cycles)


def short(bits: BitAssignment) -> dict[str, str]:
    """Widths as ``{"layer": "W4A8"}``."""
    return {n: f"W{b.weight_bits}A{b.act_bits}" for n, b in bits.layers.items()}
