"""Second-order weight rounding for one layer, from calibration data.

The layer's output error is quadratic in its weights with the Hessian ``G`` = covariance of its
inputs. Three closed steps, no training:

1. *Least squares*: the float weights are moved to those that, fed by the **quantised** input,
   best reproduce the float layer's output (ridge towards the trained weights).
2. *Compensated rounding* [1]_: the columns are rounded one after another; the error of each is
   spread over the columns still to come by the inverse Hessian. Kept per channel only where it
   beats rounding to nearest on ``G``.
3. The scale of each channel is refitted to its integers, and the bias takes up the mean error [2]_.

References
----------
.. [1] Frantar et al., GPTQ, 2022, eq. 2; after Hassibi and Stork, Optimal Brain Surgeon, 1993.
.. [2] Nagel et al., Data-Free Quantization, 2019, section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve
from torch.nn import functional as F

from hessbit.quant.calibrate import round_weights
from hessbit.quant.graph import Region

Doubles = NDArray[np.float64]
DAMPING = 0.01
RIDGE = 0.02
POSITIONS_MAX = 1 << 17
INPUTS_MAX = 6144  # above, K x K matrices cost too much: rounding to nearest
_CHUNK = 16


def columns(r: Region, x: torch.Tensor, pad_value: float = 0.0) -> torch.Tensor:
    """Receptive fields of ``(N, C, H, W)`` as ``(N * H_out * W_out, K)``, or flattened inputs."""
    if r.kind == "linear":
        return torch.flatten(x, 1)
    ph, pw = r.padding
    x = F.pad(x, (pw, pw, ph, ph), value=pad_value)
    fields = F.unfold(x, r.kernel, r.dilation, 0, r.stride)
    return fields.transpose(1, 2).reshape(-1, fields.shape[1])


@dataclass
class Moments:
    """Second moments of a layer's quantised inputs ``x`` (K) and output residuals ``e`` (C_out).

    ``e = y - (W x + b)``: what the trained weights miss when fed by the quantised input.
    """

    count: int
    mean_x: Doubles
    mean_e: Doubles
    cov_x: Doubles
    cov_ex: Doubles


@dataclass
class MomentSum:
    """Streams chunks of ``images`` images in all into `Moments`."""

    region: Region
    images: int
    covariances: bool = True
    count: int = 0
    sums: list[Doubles] = field(default_factory=list)

    def add(self, x: torch.Tensor, target: torch.Tensor, rng: torch.Generator) -> None:
        """Take in inputs ``(N, C, H, W)`` and targets ``(N, C_out, H_out, W_out)``."""
        r = self.region
        assert r.weight is not None and r.bias is not None
        weight = torch.from_numpy(r.weight.reshape(len(r.weight), -1))
        for start in range(0, len(x), _CHUNK):
            fields = columns(r, x[start : start + _CHUNK])
            y = target[start : start + _CHUNK]
            y = y.permute(0, 2, 3, 1).reshape(-1, y.shape[1]) if y.dim() == 4 else y
            keep = POSITIONS_MAX * len(y) // max(len(y) * self.images // min(_CHUNK, len(x)), 1)
            if keep < len(y):
                index = torch.randperm(len(y), generator=rng)[: max(keep, 1)]
                fields, y = fields[index], y[index]
            e = y - (fields @ weight.T + torch.from_numpy(r.bias))
            parts = [fields.sum(0), e.sum(0)]
            if self.covariances:
                parts += [fields.T @ fields, e.T @ fields]
            new = [p.double().numpy() for p in parts]
            self.sums = [a + b for a, b in zip(self.sums, new, strict=True)] if self.sums else new
            self.count += len(y)

    def moments(self) -> Moments:
        """Means and covariances; without ``covariances`` these are empty."""
        n = self.count
        mx, me = self.sums[0] / n, self.sums[1] / n
        if not self.covariances:
            return Moments(n, mx, me, np.zeros((0, 0)), np.zeros((0, 0)))
        cov_x = self.sums[2] / n - np.outer(mx, mx)
        return Moments(n, mx, me, cov_x, self.sums[3] / n - np.outer(me, mx))


def fit_weights(weight: Doubles, mom: Moments) -> Doubles:
    """Step 1: ``W + E[e x'] (G + ridge)^-1``, ``(C_out, K)``."""
    k = weight.shape[1]
    ridge = RIDGE * max(float(np.trace(mom.cov_x)) / k, 1e-12) * (1 + 20.0 * k / mom.count)
    return np.asarray(weight + solve(mom.cov_x + ridge * np.eye(k), mom.cov_ex.T, assume_a="pos").T)


def compensated(weight: Doubles, scale: Doubles, bits: int, cov: Doubles) -> Doubles:
    """Step 2: integers ``(C_out, K)`` for weights ``(C_out, K)`` and covariance ``(K, K)``."""
    k = weight.shape[1]
    damped = cov + DAMPING * max(float(np.trace(cov)) / k, 1e-12) * np.eye(k)
    order = np.argsort(-np.diag(damped), kind="stable")
    inverse = np.linalg.inv(damped[np.ix_(order, order)])
    upper = cholesky((inverse + inverse.T) / 2)
    rest = weight[:, order].copy()
    out = np.empty_like(rest)
    for j in range(k):
        q = round_weights(rest[:, j : j + 1], scale, bits)[:, 0]
        out[:, j] = q
        error = (rest[:, j] - q * scale) / upper[j, j]
        rest[:, j + 1 :] -= np.outer(error, upper[j, j + 1 :])
    integers = np.empty_like(out)
    integers[:, order] = out
    nearest = round_weights(weight, scale, bits)

    def loss(q: Doubles) -> Doubles:
        d = q * scale[:, None] - weight
        return np.asarray(np.einsum("ok,kl,ol->o", d, damped, d, optimize=True))

    return np.where((loss(integers) < loss(nearest))[:, None], integers, nearest)


def refit_scales(weight: Doubles, integers: Doubles, scale: Doubles, cov: Doubles) -> Doubles:
    """Step 3: the scale of least output error for given integers, within a factor of two."""
    k = weight.shape[1]
    damped = cov + DAMPING * max(float(np.trace(cov)) / k, 1e-12) * np.eye(k)
    projected = integers @ damped
    norm = (projected * integers).sum(1)
    best = np.where(norm > 0, (projected * weight).sum(1) / np.maximum(norm, 1e-300), scale)
    return np.clip(best, scale * 0.5, scale * 1.9)
