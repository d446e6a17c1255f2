"""Traces and eigenvalues against dense Hessians; sensitivities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hessbit import quant
from hessbit.errors import ArtifactError, ConfigError, ModelError
from hessbit.quant.graph import forward, parameters


@pytest.fixture(scope="module")
def case() -> tuple[quant.FloatGraph, list[tuple[torch.Tensor, torch.Tensor]]]:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, 1, 1), nn.ReLU(), nn.Conv2d(3, 2, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip
    x, y = torch.randn(14, 1, 6, 6), torch.randint(0, 3, (14,))
    batches = [(x[:4], y[:4]), (x[4:9], y[4:9]), (x[9:], y[9:])]  # of unequal size
    return quant.capture(net, x[:1]), batches


def dense(graph: quant.FloatGraph, batches: list[tuple[torch.Tensor, torch.Tensor]], layer: str,
          ) -> torch.Tensor:  # fmt: skip
    """The exact Hessian of one layer's weights, by autograd over the whole data at once."""
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    params = parameters(graph)
    shape = params[f"{layer}.weight"].shape

    def loss(flat: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(
            forward(graph, x, {**params, f"{layer}.weight": flat.view(shape)}), y
        )

    found = torch.autograd.functional.hessian(  # type: ignore[no-untyped-call]
        loss, params[f"{layer}.weight"].reshape(-1)
    )
    assert isinstance(found, torch.Tensor)
    return found


def test_traces_match_the_dense_hessian(case: tuple[quant.FloatGraph, list]) -> None:  # type: ignore[type-arg]
    graph, batches = case
    report = quant.analyze(graph, batches, min_probes=120, max_probes=120, activations=False)
    for name in quant.layer_names(graph):
        exact = float(dense(graph, batches, name).trace())
        t = report.layers[name]
        assert t.probes == 120 and abs(t.trace - exact) < 4 * t.stderr, name


def test_standard_errors_are_honest(case: tuple[quant.FloatGraph, list]) -> None:  # type: ignore[type-arg]
    graph, batches = case
    name = quant.layer_names(graph)[-1]
    exact, scores = float(dense(graph, batches, name).trace()), []
    for seed in range(16):
        report = quant.analyze(graph, batches, max_probes=10, seed=seed, activations=False)
        scores.append((report.layers[name].trace - exact) / report.layers[name].stderr)
    assert abs(np.mean(scores)) < 1.0  # 0 +- 0.2 of an unbiased estimate
    assert 0.6 < np.std(scores) < 1.7  # Student's t with 9 degrees of freedom: 1.13


def test_activation_trace_is_the_mean_over_images(case: tuple[quant.FloatGraph, list]) -> None:  # type: ignore[type-arg]
    graph, batches = case
    name = graph.layers[-1].input
    report = quant.analyze(graph, batches, min_probes=60, max_probes=60)
    params, traces = parameters(graph), []
    for x, y in batches:
        for image, label in zip(x, y, strict=True):

            def loss(delta: torch.Tensor, image: torch.Tensor = image, label: torch.Tensor = label,
                     ) -> torch.Tensor:  # fmt: skip
                def hook(n: str, v: torch.Tensor) -> torch.Tensor:
                    return v + delta.view_as(v) if n == name else v

                return F.cross_entropy(forward(graph, image[None], params, hook), label[None])

            size = report.activations[name].size
            found = torch.autograd.functional.hessian(  # type: ignore[no-untyped-call]
                loss, torch.zeros(size)
            )
            assert isinstance(found, torch.Tensor)
            traces.append(float(found.trace()))
    t = report.activations[name]
    assert abs(t.trace - np.mean(traces)) < 4 * t.stderr


def test_top_eigenvalue(case: tuple[quant.FloatGraph, list]) -> None:  # type: ignore[type-arg]
    graph, batches = case
    name = quant.layer_names(graph)[-1]
    values = torch.linalg.eigvalsh(dense(graph, batches, name))
    top = float(values[values.abs().argmax()])
    got = quant.top_eigenvalue(graph, batches, name, iterations=200)
    assert got.value == pytest.approx(top, rel=1e-2)
    assert got.residual <= 1e-2 * abs(top)
    with pytest.raises(ModelError, match="no layer"):
        quant.top_eigenvalue(graph, batches, "nowhere")


def test_stopping_and_seed(case: tuple[quant.FloatGraph, list]) -> None:  # type: ignore[type-arg]
    graph, batches = case
    loose = quant.analyze(graph, batches, tolerance=1000.0)
    again = quant.analyze(graph, batches, tolerance=1000.0)
    assert {t.probes for t in loose.layers.values()} == {10}
    assert loose.layers == again.layers
    tight = quant.analyze(graph, batches, tolerance=1e-6, max_probes=12)
    assert {t.probes for t in tight.layers.values()} == {12}
    said: list[float] = []
    quant.analyze(graph, [x for x, _ in batches], progress=lambda text, f: said.append(f))
    assert said == sorted(said) and said[-1] == 1.0
    with pytest.raises(ConfigError):
        quant.analyze(graph, batches, min_probes=0)
    with pytest.raises(ModelError):
        quant.analyze(graph, [])


def test_sensitivities_and_files(case: tuple[quant.FloatGraph, list], tmp_path: Path) -> None:  # type: ignore[type-arg]
    graph, batches = case
    report = quant.analyze(graph, batches)
    table = quant.sensitivities(graph, report, batches)
    for row in [*table.weights.values(), *table.activations.values()]:
        values = [row[b] for b in range(1, 9)]
        assert values == sorted(values, reverse=True) and values[-1] >= 0
    first = quant.layer_names(graph)[0]
    assert table.inputs[first] == "input"
    report.save(tmp_path / "c.json")
    table.save(tmp_path / "s.json")
    assert quant.CurvatureReport.load(tmp_path / "c.json") == report
    assert quant.SensitivityTable.load(tmp_path / "s.json") == table
    with pytest.raises(ArtifactError, match="hessbit-curvature"):
        quant.CurvatureReport.load(tmp_path / "s.json")
    (tmp_path / "s.json").write_text("{")
    with pytest.raises(ArtifactError, match="not JSON"):
        quant.SensitivityTable.load(tmp_path / "s.json")
