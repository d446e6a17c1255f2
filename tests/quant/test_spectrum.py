"""Eigenpairs, density moments and deflated traces against the dense matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hessbit import quant
from hessbit.errors import ConfigError, ModelError
from hessbit.quant.graph import forward, parameters
from hessbit.quant.spectrum import Operator, density, eigenpairs, trace


@pytest.fixture(scope="module", params=["hessian", "gauss-newton"])
def case(request: pytest.FixtureRequest) -> tuple[Operator, torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 3))
    x, y = torch.randn(14, 1, 3, 3), torch.randint(0, 3, (14,))
    graph = quant.capture(net, x[:1])
    p, names = parameters(graph), [f"{n}.weight" for n in quant.layer_names(graph)]
    flat = torch.cat([p[n].reshape(-1) for n in names])

    def run(f: torch.Tensor) -> torch.Tensor:
        parts = torch.split(f, [p[n].numel() for n in names])
        own = {n: t.view_as(p[n]) for n, t in zip(names, parts, strict=True)}
        return forward(graph, x, {**p, **own})

    if request.param == "hessian":
        dense = torch.func.hessian(lambda f: F.cross_entropy(run(f), y))(flat)
    else:
        j, s = torch.func.jacrev(run)(flat), torch.softmax(run(flat), 1)
        h = torch.diag_embed(s) - s[:, :, None] * s[:, None]
        dense = torch.einsum("nip,nij,njq->pq", j, h, j) / len(x)
    batches = [(x[:4], y[:4]), (x[4:], y[4:])]
    return Operator(graph, batches, operator=request.param), dense.double()


def test_against_the_dense_matrix(case: tuple[Operator, torch.Tensor]) -> None:
    matrix, dense = case
    values = torch.linalg.eigvalsh(dense).numpy()
    want = values[np.argsort(-np.abs(values))][:3]
    pairs = eigenpairs(matrix, 3)
    assert [p.value for p in pairs] == pytest.approx(list(want), rel=1e-3)
    assert all(p.residual < 1e-3 * abs(want[0]) for p in pairs)
    found = density(matrix, probes=12)
    for power in (1, 2):
        mean, stderr = found.moment(power)
        assert abs(mean - float(np.mean(values**power))) < 4 * stderr
    for rank in (0, 5):
        t = trace(matrix, rank=rank, probes=20)
        assert abs(t.trace - float(dense.trace())) < 4 * t.stderr + 1e-5
    with pytest.raises(ConfigError):
        eigenpairs(matrix, 0)


def test_one_layer_is_its_block(case: tuple[Operator, torch.Tensor]) -> None:
    """An operator restricted to the second layer is the lower right block of the dense matrix."""
    matrix, dense = case
    block = matrix.restricted(quant.layer_names(matrix.graph)[1:])
    assert block.size == 15
    columns = [block(e) for e in torch.eye(15, dtype=torch.float64)]
    assert torch.allclose(torch.stack(columns, 1), dense[45:, 45:], atol=1e-6, rtol=1e-4)
    with pytest.raises(ModelError):
        matrix.restricted(["nowhere"])


def test_density_on_a_grid_has_unit_mass(case: tuple[Operator, torch.Tensor]) -> None:
    matrix, dense = case
    values = torch.linalg.eigvalsh(dense).numpy()
    width = 0.05 * float(np.abs(values).max())
    grid = np.linspace(values.min() - 6 * width, values.max() + 6 * width, 2000)
    heights, stderr = density(matrix, probes=4).on(grid, width)
    mass = ((heights[1:] + heights[:-1]) / 2 * np.diff(grid)).sum()
    assert mass == pytest.approx(1, abs=1e-3)
    assert (stderr >= 0).all()


def test_two_standard_errors_hold_in_95_percent(case: tuple[Operator, torch.Tensor]) -> None:
    """200 seeded runs: with 30 probes the interval must hold neither much less nor much more."""
    _, dense = case
    exact = Dense(dense)
    hits = 0
    for seed in range(200):
        t = trace(exact, probes=30, seed=seed)
        hits += abs(t.trace - float(dense.trace())) <= 2 * t.stderr
    assert 178 <= hits <= 199  # 5 sigma of a binomial around 189: Student's t with 29 degrees


def test_deflation_lowers_the_error_at_equal_products(case: tuple[Operator, torch.Tensor]) -> None:
    _, dense = case
    exact = Dense(dense)
    plain = np.mean([trace(exact, probes=40, seed=s).stderr for s in range(20)])
    deflated = np.mean([trace(exact, probes=20, rank=10, seed=s).stderr for s in range(20)])
    assert deflated < 0.7 * plain  # 0.51 here for the Hessian, less for Gauss-Newton


class Dense(Operator):
    """A matrix in the place of a network: the estimators' statistics without the products."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix, self.size, self.products = matrix, len(matrix), 0

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        self.products += 1
        return self.matrix @ v
