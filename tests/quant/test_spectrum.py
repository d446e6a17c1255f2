"""Eigenpairs, density moments and deflated traces against the dense matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hessbit import quant
from hessbit.errors import ConfigError
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
