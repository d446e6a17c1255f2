"""The one integer arithmetic: dyadic requantisation, shared by every stage of hessbit.

::

    y = clamp((((acc + bias) * m + (((skip - zp_skip) * m2) << t) + 2^(s-1)) >> s) + zp, lo, hi)

``>>`` is an arithmetic shift (floor) and rounding is half up; there is no other rounding rule.
``m`` and ``m2`` have at most 16 bits. ``m2`` carries an exponent ``t`` of its own, because a
residual multiplier near 1 and a weight multiplier near 2^-8 share one ``s``: without it the smaller
would keep only a handful of bits and break the error bound of 2^-12.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hessbit.errors import NumericsError

MULTIPLIER_BITS = 16
SHIFT_MAX = 40
SKIP_SHIFT_MAX = 30
SUM_BITS = 56  # signed width of the sum before the shift, in every stage
RELATIVE_ERROR_MAX = 2.0**-12
ACC_MIN, ACC_MAX = -(2**31), 2**31 - 1

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Dyadic:
    """Multipliers ``m / 2^s`` and, for a residual, ``m2 * 2^t / 2^s``; each of shape ``(C,)``."""

    m: Ints
    s: Ints
    m2: Ints
    t: Ints
    error: float
    """Largest relative error of any multiplier against the real ratio it replaces."""


def dyadic(ratio: ArrayLike, skip_ratio: float | None = None, *, name: str = "layer") -> Dyadic:
    """Replace real scale ratios by dyadic numbers.

    Parameters
    ----------
    ratio : array_like, shape (C,)
        ``s_w * s_x / s_y`` per output channel, positive, in float64.
    skip_ratio : float, optional
        ``s_skip / s_y`` of the residual input.
    name : str
        The layer, for the error message.

    Returns
    -------
    Dyadic
        With the largest ``s`` (at most 40) for which every product fits its width.

    Raises
    ------
    NumericsError
        When a ratio is not positive and finite, is 2^15 or more, or when a multiplier would differ
        from its ratio by more than 2^-12.
    """
    r = np.atleast_1d(np.asarray(ratio, np.float64))
    rs = np.float64(0.0 if skip_ratio is None else skip_ratio)
    if not (np.all(np.isfinite(r)) and np.all(r > 0) and np.isfinite(rs) and rs >= 0):
        raise NumericsError(f"{name}: scale ratios must be positive and finite")
    if skip_ratio is not None and rs == 0:
        raise NumericsError(f"{name}: the residual's scale ratio is zero")
    s = np.minimum(MULTIPLIER_BITS - np.frexp(r)[1], SHIFT_MAX).astype(np.int64)
    m = np.floor(np.ldexp(r, s) + 0.5).astype(np.int64)
    s = np.where(m >> MULTIPLIER_BITS, s - 1, s)
    if skip_ratio is not None:  # keep 255 * m2 * 2^t below 2^54
        s = np.minimum(s, 46 - np.frexp(rs)[1])
    if np.any(s < 1):
        raise NumericsError(
            f"{name}: scale ratio {float(r.max()):g} is too large, must be below 2^15"
        )
    m = np.floor(np.ldexp(r, s) + 0.5).astype(np.int64)
    m2, t = np.zeros_like(m), np.zeros_like(s)
    if skip_ratio is not None:
        exponent = np.frexp(rs)[1] + s  # rs * 2^s is in [2^(exponent-1), 2^exponent)
        t = np.clip(exponent - MULTIPLIER_BITS, 0, SKIP_SHIFT_MAX)
        m2 = np.floor(np.ldexp(rs, s - t) + 0.5).astype(np.int64)
        over = m2 >> MULTIPLIER_BITS > 0
        t = np.where(over, t + 1, t)
        m2 = np.floor(np.ldexp(rs, s - t) + 0.5).astype(np.int64)
    error = float(np.max(np.abs(np.ldexp(m.astype(np.float64), -s) / r - 1)))
    if skip_ratio is not None:
        error = max(error, float(np.max(np.abs(np.ldexp(m2.astype(np.float64), t - s) / rs - 1))))
    if error > RELATIVE_ERROR_MAX or np.any(t > SKIP_SHIFT_MAX):
        raise NumericsError(
            f"{name}: dyadic multiplier differs from the scale ratio by {error:.2e}, at most "
            f"{RELATIVE_ERROR_MAX:.2e} is allowed; rescale the layer's weights or output"
        )
    return Dyadic(m=m, s=s, m2=m2, t=t.astype(np.int64), error=error)


def requantize(
    acc: Ints,
    *,
    bias: Ints,
    m: Ints,
    s: Ints,
    zp: int,
    lo: int,
    hi: int,
    skip: Ints | None = None,
    zp_skip: int = 0,
    m2: Ints | None = None,
    t: Ints | None = None,
) -> Ints:
    """Requantise accumulators to activations; see the formula at the head of this module.

    Parameters
    ----------
    acc : int64, shape (..., C)
        Accumulators, channels last.
    bias, m, s, m2, t : int64, shape (C,)
        Per-channel constants.
    zp, lo, hi : int
        Output zero point and clamp bounds, all in 0..255.
    skip : int64, shape (..., C), optional
        Residual input as stored (with its zero point ``zp_skip``).

    Returns
    -------
    int64, shape (..., C)
        Activations in ``[lo, hi]``.
    """
    total = (acc.astype(np.int64) + bias) * m + (np.int64(1) << (s - 1))
    if skip is not None:
        assert m2 is not None and t is not None
        total = total + (((skip.astype(np.int64) - zp_skip) * m2) << t)
    return np.clip((total >> s) + zp, lo, hi)


def check_accumulator(
    weights: Ints, bias: Ints, *, act_lo: int, act_hi: int, name: str
) -> tuple[int, int]:
    """Prove that no input can overflow a layer's 32-bit accumulator.

    Parameters
    ----------
    weights : int64, shape (C_out, ...)
        The integer weights.
    bias : int64, shape (C_out,)
        The bias, input zero point folded in.
    act_lo, act_hi : int
        Bounds of the stored (unsigned) activations.

    Returns
    -------
    tuple of int
        The least and greatest value that ``acc + bias`` (or ``acc``) can take.

    Raises
    ------
    NumericsError
        Naming the layer, when a bound leaves the signed 32-bit range.
    """
    w = weights.reshape(weights.shape[0], -1).astype(np.int64)
    pos, neg = np.maximum(w, 0).sum(1), np.minimum(w, 0).sum(1)
    top = pos * act_hi + neg * act_lo
    low = neg * act_hi + pos * act_lo
    # Every prefix of the accumulation is bounded by the sums with all activations at act_hi.
    lo = int(min((low + bias).min(), (neg * act_hi).min(), bias.min()))
    hi = int(max((top + bias).max(), (pos * act_hi).max(), bias.max()))
    if lo < ACC_MIN or hi > ACC_MAX:
        raise NumericsError(
            f"{name}: the accumulator could reach [{lo}, {hi}], outside 32 bits; use fewer bits or "
            "split the layer"
        )
    return lo, hi
