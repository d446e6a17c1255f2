"""Ranges: activation observers and weight scales.

Activations are unsigned, ``q = clamp(floor(x / scale + 1/2) + zp, 0, 2^b - 1)``; weights are
symmetric per output channel, ``[-(2^(b-1)-1), 2^(b-1)-1]``, and with one bit {-1, +1} times the
mean magnitude [1]_. Every scale is a float32 value.

References
----------
.. [1] Rastegari et al., XNOR-Net, 2016, eq. 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from hessbit.errors import ConfigError, ModelError
from hessbit.quant.graph import INPUT, FloatGraph, forward, parameters

Doubles = NDArray[np.float64]
Batch: TypeAlias = "torch.Tensor | Sequence[torch.Tensor]"
Progress = Callable[[str, float], None]

OBSERVERS = ("minmax", "percentile", "mse")
PERCENTILE = 99.99
BINS = 2048
SAMPLES_PER_BATCH = 32768
_SHRINK = np.geomspace(0.02, 1.0, 96)


def images_of(batch: Batch) -> torch.Tensor:
    """The images of a batch that is ``x`` or ``(x, y)``."""
    return batch if isinstance(batch, torch.Tensor) else batch[0]


@dataclass
class Statistics:
    """What an observer saw of one tensor: extremes and a random sample of values."""

    low: float = np.inf
    high: float = -np.inf
    samples: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, value: torch.Tensor, rng: np.random.Generator) -> None:
        """Take in one batch of values of any shape."""
        flat = value.detach().reshape(-1).numpy()
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        if flat.size > SAMPLES_PER_BATCH:
            flat = flat[rng.integers(0, flat.size, SAMPLES_PER_BATCH)]
        self.samples.append(flat.copy())

    def values(self) -> NDArray[np.float32]:
        """The sample, ``(n,)``."""
        return np.concatenate(self.samples)


def observe(graph: FloatGraph, batches: Iterable[Batch], *, seed: int = 0) -> dict[str, Statistics]:
    """Run the float graph over calibration batches.

    Parameters
    ----------
    batches : iterable
        Of ``x`` or ``(x, y)``, ``x`` float32 ``(N, C, H, W)``.

    Returns
    -------
    dict of str to Statistics
        For every stored tensor.

    Raises
    ------
    ModelError
        When there are no batches or a tensor is not finite.
    ShapeError
        When the images do not fit.
    """
    rng = np.random.default_rng(seed)
    params = parameters(graph)
    stats = {name: Statistics() for name in (INPUT, *(r.name for r in graph.regions))}

    def hook(name: str, value: torch.Tensor) -> torch.Tensor:
        if not bool(torch.isfinite(value).all()):
            raise ModelError(f"tensor {name} is NaN or infinite on the calibration images")
        stats[name].add(value, rng)
        return value

    with torch.no_grad():
        for batch in batches:
            forward(graph, images_of(batch), params, hook)
    if not stats[INPUT].samples:
        raise ModelError("no calibration batches; give at least one")
    return stats


def quantize_values(x: Doubles, scale: float, zero_point: int, bits: int) -> Doubles:
    """Quantise and dequantise: round half up, clamp to ``0 .. 2^bits - 1``."""
    q = np.clip(np.floor(x / scale + 0.5) + zero_point, 0, 2**bits - 1)
    return np.asarray((q - zero_point) * scale)


def _affine(low: float, high: float, bits: int) -> tuple[float, int]:
    """Scale and zero point for the range ``[low, high]``, which is widened to hold 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    top = 2**bits - 1
    scale = float(np.float32((high - low) / top))
    return scale, int(np.clip(np.floor(-low / scale + 0.5), 0, top)) if low < 0 else 0


def activation_range(stats: Statistics, bits: int, observer: str = "mse") -> tuple[float, int]:
    """Scale and zero point of one tensor.

    Parameters
    ----------
    stats : Statistics
    bits : int
        1..8.
    observer : str
        ``"minmax"``; ``"percentile"`` (99.99 per cent); ``"mse"``: the range, shrunk in 96 steps,
        of least mean squared error.

    Returns
    -------
    tuple
        Float32 scale, 0.0 for a tensor that is always zero, and zero point; the zero point is 0
        when no value is negative.

    Raises
    ------
    ConfigError
        For another observer.
    """
    if observer not in OBSERVERS:
        raise ConfigError(f"observer {observer!r}; choose from {', '.join(OBSERVERS)}")
    low, high = min(stats.low, 0.0), max(stats.high, 0.0)
    if high - low < 1e-30:
        return 0.0, 0
    if observer == "minmax":
        return _affine(low, high, bits)
    x = stats.values().astype(np.float64)
    if observer == "percentile":
        new_low, new_high = np.percentile(x, [100 - PERCENTILE, PERCENTILE])
        new_low, new_high = min(new_low, 0.0) if low < 0 else 0.0, max(new_high, 0.0)
        return _affine(new_low, new_high, bits) if new_high > new_low else _affine(low, high, bits)
    count, edges = np.histogram(x, BINS)
    total = np.histogram(x, edges, weights=x)[0]
    full = count > 0
    centre, weight = total[full] / count[full], count[full].astype(np.float64)
    best, choice = np.inf, _affine(low, high, bits)
    for shrink in _SHRINK:
        scale, zp = _affine(low * shrink, high * shrink, bits)
        error = float(weight @ (quantize_values(centre, scale, zp, bits) - centre) ** 2)
        if error < best:
            best, choice = error, (scale, zp)
    return choice


def weight_limit(bits: int) -> int:
    """The greatest weight integer: narrow two's complement, 1 for one bit."""
    return 1 if bits == 1 else 2 ** (bits - 1) - 1


def round_weights(weight: Doubles, scale: Doubles, bits: int) -> Doubles:
    """Nearest integers of ``(C_out, K)`` weights, half up, clamped; one bit: the sign, 0 to +1."""
    if bits == 1:
        return np.where(weight >= 0, 1.0, -1.0)
    limit = weight_limit(bits)
    return np.asarray(np.clip(np.floor(weight / scale[:, None] + 0.5), -limit, limit))


def weight_scales(weight: Doubles, bits: int, observer: str = "mse") -> Doubles:
    """Scale of each output channel.

    Parameters
    ----------
    weight : float64, shape (C_out, K)
    bits : int
        1..8.
    observer : str
        ``"minmax"`` or ``"mse"``; with one bit both are the mean magnitude, which is optimal.

    Returns
    -------
    float64, shape (C_out,)
        0 for a channel without weights.

    Raises
    ------
    ConfigError
        For another observer.
    """
    if observer not in ("minmax", "mse"):
        raise ConfigError(f"weight observer {observer!r}; choose from minmax, mse")
    if bits == 1:
        return np.asarray(np.abs(weight).mean(1))
    top = np.abs(weight).max(1) / weight_limit(bits)
    if observer == "minmax":
        return np.asarray(top)
    best_error, best = np.full(len(weight), np.inf), top.copy()
    for shrink in np.linspace(0.25 if bits < 4 else 0.5, 1.0, 61)[::-1]:
        scale = np.maximum(top * shrink, 1e-300)
        error = ((round_weights(weight, scale, bits) * scale[:, None] - weight) ** 2).sum(1)
        better = error < best_error
        best_error, best = np.where(better, error, best_error), np.where(better, scale, best)
    return np.where(top > 0, best, 0.0)
