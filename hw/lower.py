"""What the ONNX front end knows about a value, and how an expression becomes one fused operator."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hessbit.errors import NumericsError, UnsupportedError
from hessbit.hw.ir import Constants, Conv, Op, Pads, Pair, Pool, Tensor, output_size
from hessbit.numerics import ACC_MAX, ACC_MIN, Ints, dyadic

Floats = NDArray[np.float64]
_TINY_RATIO = 2.0**-25


@dataclass(frozen=True, kw_only=True)
class QType:
    """Scale, zero point and integer range that a QuantizeLinear (and Clip) gives a tensor."""

    scale: float
    zero_point: int
    lo: int
    hi: int
    signed: bool


@dataclass(frozen=True, eq=False)
class Const:
    """A constant; ``lo..hi`` is the range of an integer type or of a Clip on it."""

    value: NDArray[np.float64] | Ints
    lo: int | None = None
    hi: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class DqConst:
    """A dequantised constant: ``real = q * scale``, the zero point already taken off."""

    q: Ints
    scale: NDArray[np.float32]
    axis: int
    lo: int
    hi: int

    @property
    def real(self) -> Floats:
        """The real values."""
        shape = [1] * self.q.ndim
        if self.scale.size > 1:
            shape[self.axis] = self.scale.size
        return np.asarray(self.q * self.scale.astype(np.float64).reshape(shape))


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatInput:
    """The network's float input, before its QuantizeLinear."""

    name: str
    shape: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Real:
    """A dequantised tensor of the IR; ``flat`` when its CHW order was flattened."""

    tensor: str
    flat: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Expr:
    """An operator whose output has not been quantised yet.

    Attributes
    ----------
    name : str
        Of the convolution, fully connected layer or pool: the fused operator's name.
    source : str
        The tensor it reads.
    weights, weight_scale, weight_bits, bipolar, bias
        Of a convolution: ``(C_out, KH, KW, C_in)``, per channel; ``bias`` are integers or reals.
    pool : str
        "sum" or "max" for a pool, "" for a convolution.
    divisor : int
        What a sum is divided by.
    low, high : float
        Bounds of ReLU or Clip on the real value.
    after : tuple of Expr
        Maximum pools behind the operator and before its QuantizeLinear.
    """

    name: str
    source: str
    shape: tuple[int, int, int]
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pad: Pads = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    weights: Ints | None = None
    weight_scale: NDArray[np.float32] | None = None
    weight_bits: int = 0
    bipolar: bool = False
    bias_int: Ints | None = None
    bias_real: Floats | None = None
    pool: str = ""
    divisor: int = 1
    skip: str | None = None
    low: float = -np.inf
    high: float = np.inf
    after: tuple[Expr, ...] = ()
    flat: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Quant:
    """A quantised value that becomes a tensor when something dequantises it."""

    source: Expr | Real | FloatInput
    type: QType


def stored_type(q: QType, low: float, high: float) -> tuple[int, int, int, int]:
    """Zero point, clamp bounds and bits of the stored (unsigned) tensor.

    ReLU and Clip narrow the range; a signed range is moved up, its least value is stored as 0.
    """
    lo, hi, zp = q.lo, q.hi, q.zero_point
    if np.isfinite(low):
        lo = min(max(lo, zp + int(np.rint(low / q.scale))), hi)
    if np.isfinite(high):
        hi = max(min(hi, zp + int(np.rint(high / q.scale))), lo)
    shift = -lo if q.signed else 0
    return zp + shift, lo + shift, hi + shift, max(1, (hi + shift).bit_length())


def make_ops(e: Expr, q: QType, tensors: dict[str, Tensor]) -> tuple[list[Op], list[Tensor]]:
    """The fused operators (one, and one for each pool behind it) and the tensors they make.

    Raises
    ------
    NumericsError
        When a constant does not fit its width.
    UnsupportedError
        When the zero point lies outside the stored range.
    """
    zp, lo, hi, bits = stored_type(q, e.low, e.high)
    if not 0 <= zp <= 255:
        raise UnsupportedError(
            "QuantizeLinear", e.name, f"zero point {q.zero_point} outside the range {q.lo}..{q.hi}"
        )
    x = tensors[e.source]
    skip = tensors[e.skip] if e.skip else None
    base = Tensor(name="", h=0, w=0, c=e.shape[2], bits=bits, scale=q.scale, zero_point=zp)
    s_x, s_y = np.float64(x.scale), np.float64(q.scale)
    skip_ratio = None if skip is None else float(np.float64(skip.scale) / s_y)
    if e.weights is not None:
        assert e.weight_scale is not None
        s_w = np.broadcast_to(e.weight_scale.astype(np.float64), (e.shape[2],))
        ratio, bias = s_w * s_x / s_y, _bias(e, s_w * s_x)
        dead = (ratio < _TINY_RATIO) & ~e.weights.reshape(len(ratio), -1).any(1) & (bias == 0)
        ratio = np.where(dead, ratio.max(), ratio)  # a channel of zeros: any ratio serves
        bias = bias - x.zero_point * e.weights.reshape(len(ratio), -1).sum(1)
    else:
        count = e.divisor if e.pool == "sum" else 1
        ratio = np.full(e.shape[2], s_x / (s_y * count))
        window = e.kernel[0] * e.kernel[1] if e.pool == "sum" else 1
        bias = np.full(e.shape[2], -x.zero_point * window, np.int64)
    d = dyadic(ratio, skip_ratio, name=e.name)
    constants = Constants(
        m=d.m,
        s=d.s,
        m2=d.m2,
        t=d.t,
        bias=bias,
        zp=zp,
        lo=lo,
        hi=hi,
        ratio=ratio,
        skip_ratio=skip_ratio,
    )
    first = replace(base, name=e.name + ".pre" if e.after else e.name)
    op = _op(e, first.name, constants)
    rows, columns = output_size(op, x.h, x.w)
    first = replace(first, h=rows, w=columns)
    ops: list[Op] = [op]
    made = [first]
    for i, p in enumerate(e.after):
        name = e.name if i == len(e.after) - 1 else f"{e.name}.pool{i}"
        one = Expr(
            name=p.name,
            source=made[-1].name,
            shape=p.shape,
            kernel=p.kernel,
            stride=p.stride,
            pad=p.pad,
            pool="max",
        )
        ops.append(_op(one, name, identity(first, lo, hi)))
        made.append(replace(first, name=name, h=p.shape[0], w=p.shape[1]))
    return ops, made


def identity(x: Tensor, lo: int | None = None, hi: int | None = None) -> Constants:
    """Constants that keep stored values as they are."""
    d = dyadic(np.ones(x.c))
    return Constants(
        m=d.m,
        s=d.s,
        m2=d.m2,
        t=d.t,
        bias=np.full(x.c, -x.zero_point, np.int64),
        zp=x.zero_point,
        lo=0 if lo is None else lo,
        hi=(1 << x.bits) - 1 if hi is None else hi,
        ratio=np.ones(x.c),
    )


def _op(e: Expr, output: str, constants: Constants) -> Conv | Pool:
    if e.weights is None:
        return Pool(
            name=e.name,
            input=e.source,
            output=output,
            op=e.pool,
            kernel=e.kernel,
            stride=e.stride,
            pad=e.pad,
            constants=constants,
            skip=e.skip,
        )
    return Conv(
        name=e.name,
        input=e.source,
        output=output,
        weights=e.weights,
        weight_bits=e.weight_bits,
        bipolar=e.bipolar,
        stride=e.stride,
        pad=e.pad,
        dilation=e.dilation,
        constants=constants,
        skip=e.skip,
    )


def _bias(e: Expr, scale: Floats) -> Ints:
    """The integer bias at scale ``s_w * s_x``."""
    total = np.zeros(e.shape[2], np.int64) if e.bias_int is None else e.bias_int.astype(np.int64)
    if e.bias_real is not None:
        real = np.floor(e.bias_real / scale + 0.5)
        worst = float(np.abs(real).max())
        if not np.isfinite(worst) or worst > ACC_MAX:
            raise NumericsError(
                f"{e.name}: a bias of {worst:g} steps of s_w*s_x leaves 32 bits; its channel's "
                "weight scale is too small"
            )
        total = total + real.astype(np.int64)
    if total.min() < ACC_MIN or total.max() > ACC_MAX:
        raise NumericsError(f"{e.name}: a bias leaves 32 bits")
    return total


def weight_width(q: Ints, lo: int, hi: int, name: str) -> tuple[int, bool]:
    """Bits of weights declared to lie in ``lo..hi``, and whether they are bipolar.

    Raises
    ------
    UnsupportedError
        When they need more than 8 bits.
    """
    if (lo, hi) == (-1, 1) and np.all(np.abs(q) == 1):
        return 1, True
    if lo < -128 or hi > 127:  # a type that is wider than what it holds
        lo, hi = int(q.min()), int(q.max())
    bits = max(2, (-lo - 1).bit_length() + 1 if lo < 0 else 0, hi.bit_length() + 1 if hi > 0 else 0)
    if bits > 8:
        raise UnsupportedError("DequantizeLinear", name, "weights need more than 8 bits; at most 8")
    return bits, False
