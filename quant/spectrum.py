"""Eigenpairs, spectral density and deflated traces of the loss curvature, matrix-free.

All work on `Operator`: a symmetric matrix over the weights of some layers, known by its products.
Batches stream through for every product, each graph is freed before the next, nothing is kept.

* *Eigenpairs*: Lanczos with full re-orthogonalisation (twice), Ritz pairs of largest magnitude with
  their signs, and the true residual ``|H v - lambda v|`` of each from a further product.
* *Density*: stochastic Lanczos quadrature [1]_: for a normalised Rademacher start the nodes are the
  eigenvalues of the tridiagonal and the weights the squares of its eigenvectors' first row.
* *Trace*: with ``Q`` an orthonormal basis of ``H S``, ``tr H = tr Q'HQ + tr PHP``, ``P = I - QQ'``.
  The first term is exact, the second is probed with vectors independent of ``S`` (Hutch++ [2]_).

References
----------
.. [1] Ghorbani et al., Hessian eigenvalue density, 2019.
.. [2] Meyer et al., Hutch++: optimal stochastic trace estimation, 2021.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hessbit.errors import ConfigError, ModelError
from hessbit.quant.calibrate import Batch
from hessbit.quant.curvature import (
    Loss,
    Trace,
    check_operator,
    count,
    loss_of,
    operator_products,
    rademacher,
)
from hessbit.quant.graph import FloatGraph, forward, layer_names, parameters

Doubles = NDArray[np.float64]


class Operator:
    """The mean curvature of the loss over all batches, as products with flat float64 vectors.

    Parameters
    ----------
    graph : FloatGraph
    batches : iterable
        Re-iterable; read once for each product.
    layers : sequence of str, optional
        Layers whose weights the matrix covers, in this order; all by default.
    operator : str
        ``"hessian"`` or ``"gauss-newton"``.
    loss : callable, optional
        As `hessbit.quant.analyze`.
    """

    def __init__(
        self,
        graph: FloatGraph,
        batches: Iterable[Batch],
        layers: Sequence[str] | None = None,
        *,
        operator: str = "hessian",
        loss: Loss | None = None,
    ) -> None:
        check_operator(operator)
        names = layer_names(graph)
        chosen = names if layers is None else list(layers)
        if not chosen or len(set(chosen)) != len(chosen) or not set(chosen) <= set(names):
            raise ModelError(f"layers {chosen}: choose different ones from {', '.join(names)}")
        self.graph, self._batches, self._kind, self._loss = graph, batches, operator, loss
        self._params = parameters(graph)
        self._blocks = [self._params[f"{n}.weight"].requires_grad_() for n in chosen]
        self.size = sum(b.numel() for b in self._blocks)
        self.products = 0

    def restricted(self, layers: Sequence[str]) -> Operator:
        """The diagonal block of some layers, on the same data."""
        return Operator(self.graph, self._batches, layers, operator=self._kind, loss=self._loss)

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        """The product with ``v`` of shape ``(size,)``."""
        parts = torch.split(v.float(), [b.numel() for b in self._blocks])
        vectors = [p.view_as(b) for p, b in zip(parts, self._blocks, strict=True)]
        total, images = torch.zeros(self.size, dtype=torch.float64), 0
        for batch in self._batches:
            out = loss_of(batch, self._run, None, raw=True)
            hv = operator_products(self._kind, batch, out, self._loss, self._blocks, vectors)
            total += torch.cat([h.detach().reshape(-1).double() for h in hv]) * count(batch)
            images += count(batch)
        if not images:
            raise ModelError("no batches for the curvature; give at least one")
        if not bool(torch.isfinite(total).all()):
            raise ModelError("the curvature is NaN or infinite on the given images")
        self.products += 1
        return total / images

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        return forward(self.graph, x, self._params)


@dataclass(frozen=True)
class Eigenpair:
    """An eigenvalue with its sign, its unit vector (flat) and the residual ``|H v - value v|``."""

    value: float
    residual: float
    vector: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Density:
    """Quadrature of the spectral density: one row of nodes and weights (sum 1) for each probe."""

    nodes: list[Doubles]
    weights: list[Doubles]
    size: int

    def moment(self, power: int) -> tuple[float, float]:
        """``tr(H^power) / n`` and its standard error across probes."""
        pairs = zip(self.nodes, self.weights, strict=True)
        return _mean(np.asarray([float(w @ x**power) for x, w in pairs]))

    def on(self, grid: Doubles, width: float) -> tuple[Doubles, Doubles]:
        """Density on a grid under a Gaussian kernel of standard deviation ``width``, and stderr."""
        if not width > 0:
            raise ConfigError(f"width {width}: must be positive")
        rows = [
            np.exp(-(((grid[:, None] - x) / width) ** 2) / 2) @ w / (width * np.sqrt(2 * np.pi))
            for x, w in zip(self.nodes, self.weights, strict=True)
        ]
        values = np.asarray(rows)
        return values.mean(0), values.std(0, ddof=1) / np.sqrt(len(rows))


def _mean(values: Doubles) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _lanczos(
    matrix: Operator, start: torch.Tensor, steps: int
) -> tuple[Doubles, Doubles, torch.Tensor]:
    """Ritz values, eigenvectors of the tridiagonal (columns) and the basis (rows)."""
    basis = [start / start.norm()]
    alpha: list[float] = []
    beta: list[float] = []
    while True:
        w = matrix(basis[-1])
        alpha.append(float(w @ basis[-1]))
        q = torch.stack(basis)
        for _ in range(2):
            w = w - q.T @ (q @ w)
        norm = float(w.norm())
        if len(basis) >= min(steps, matrix.size) or norm <= 1e-6 * max(map(abs, [*alpha, *beta])):
            break  # enough, or an invariant subspace to the precision of the products
        beta.append(norm)
        basis.append(w / norm)
    values, vectors = np.linalg.eigh(np.diag(alpha) + np.diag(beta, 1) + np.diag(beta, -1))
    return values, vectors, q


def eigenpairs(matrix: Operator, k: int = 1, *, steps: int = 40, seed: int = 0) -> list[Eigenpair]:
    """The ``k`` eigenpairs of largest magnitude, largest first; fewer in a smaller subspace.

    Takes at most ``steps + k`` products; judge convergence by the residuals. A multiple eigenvalue
    is found once.
    """
    if not 1 <= k <= min(steps, matrix.size):
        raise ConfigError(f"k {k}: need 1 <= k <= steps and k <= {matrix.size}, the matrix's size")
    start = torch.randn(
        matrix.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    values, vectors, basis = _lanczos(matrix, start, steps)
    out = []
    for i in np.argsort(-np.abs(values), kind="stable")[:k]:
        v = torch.from_numpy(vectors[:, i].copy()) @ basis
        v /= v.norm()
        value = float(values[i])
        out.append(Eigenpair(value, float((matrix(v) - value * v).norm()), v))
    return out


def density(matrix: Operator, *, probes: int = 10, steps: int = 30, seed: int = 0) -> Density:
    """Spectral density by stochastic Lanczos quadrature: ``probes * steps`` products."""
    if probes < 2 or steps < 1:
        raise ConfigError("need probes >= 2 and steps >= 1")
    rng = torch.Generator().manual_seed(seed)
    nodes, weights = [], []
    for _ in range(probes):
        start = rademacher(torch.empty(matrix.size, dtype=torch.float64), rng)
        values, vectors, _ = _lanczos(matrix, start, steps)
        nodes.append(values)
        weights.append(vectors[0] ** 2)
    return Density(nodes=nodes, weights=weights, size=matrix.size)


def trace(matrix: Operator, *, probes: int = 30, rank: int = 0, seed: int = 0) -> Trace:
    """Trace with its standard error: ``probes + 2 * rank`` products, ``rank`` deflated directions.

    Conditionally on the basis the probes are independent and unbiased, and so is their standard
    error.
    """
    if probes < 2 or not 0 <= rank < matrix.size:
        raise ConfigError(f"need probes >= 2 and 0 <= rank < {matrix.size}")
    rng = torch.Generator().manual_seed(seed)
    like = torch.empty(matrix.size, dtype=torch.float64)
    q, exact = torch.zeros(matrix.size, 0, dtype=torch.float64), 0.0
    if rank:
        sketch = torch.stack([matrix(rademacher(like, rng)) for _ in range(rank)], 1)
        q = torch.linalg.qr(sketch).Q
        exact = sum(float(q[:, i] @ matrix(q[:, i])) for i in range(rank))
    values = []
    for _ in range(probes):
        v = rademacher(like, rng)
        v = v - q @ (q.T @ v)
        values.append(float(v @ matrix(v)))
    mean, stderr = _mean(np.asarray(values))
    return Trace(trace=exact + mean, stderr=stderr, probes=probes, size=matrix.size)
