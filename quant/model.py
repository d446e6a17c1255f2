"""The integer model: what the accelerator computes, in numpy and exact.

A `QuantizedModel` stores only what the ONNX file stores (integer weights, int32 biases, float32
scales, zero points); every other integer is derived from these by `derive_layer` and `derive_pool`,
in float64 arithmetic on the float32 scales, so that any reader derives the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from hessbit.errors import ModelError, ShapeError
from hessbit.numerics import Dyadic, Ints, check_accumulator, dyadic, requantize

Bytes = NDArray[np.uint8]
_FIELDS_MAX = 1 << 24  # values of unfolded input held at a time


@dataclass(frozen=True, kw_only=True)
class QTensor:
    """A stored activation tensor: ``value = (q - zero_point) * scale``, ``0 <= q <= 2^bits - 1``.

    ``shape`` is ``(C, H, W)`` or ``(K,)``; ``scale`` is a float32 value.
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    scale: float
    zero_point: int

    @property
    def hi(self) -> int:
        """The greatest stored value; the least is 0."""
        return int((1 << self.bits) - 1)


@dataclass(frozen=True, kw_only=True)
class QRegion:
    """One integer operation: geometry as `hessbit.quant.graph.Region`, weights as integers.

    ``weight`` is int8 ``(C_out, C_in, KH, KW)`` or ``(K_out, K_in)``; ``weight_scale`` float32 and
    ``bias`` int32, both ``(C_out,)``, the bias at scale ``weight_scale * input scale`` and before
    the input's zero point is folded in. All None for pools, whose ``weight_bits`` is 0.
    """

    name: str
    kind: str
    input: str
    skip: str | None = None
    relu: bool = False
    weight_bits: int = 0
    weight: NDArray[np.int8] | None = None
    weight_scale: NDArray[np.float32] | None = None
    bias: NDArray[np.int32] | None = None
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def is_layer(self) -> bool:
        """Whether the region has weights."""
        return self.kind in ("conv", "linear")


@dataclass(frozen=True, kw_only=True)
class Constants:
    """Derived integers of one region, per output channel ``(C,)``; see `hessbit.numerics`.

    ``acc_range`` bounds every value that the 32-bit accumulator can take, bias included.
    """

    bias: Ints
    m: Ints
    s: Ints
    m2: Ints
    t: Ints
    zp: int
    lo: int
    hi: int
    zp_skip: int
    acc_range: tuple[int, int]
    error: float


def _constants(
    d: Dyadic, bias: Ints, y: QTensor, zp_skip: int, acc_range: tuple[int, int]
) -> Constants:
    return Constants(
        bias=bias,
        m=d.m,
        s=d.s,
        m2=d.m2,
        t=d.t,
        zp=y.zero_point,
        lo=0,
        hi=y.hi,
        zp_skip=zp_skip,
        acc_range=acc_range,
        error=d.error,
    )


def derive_layer(r: QRegion, x: QTensor, y: QTensor, skip: QTensor | None) -> Constants:
    """Requantisation constants of a convolution or linear layer.

    Raises
    ------
    NumericsError
        When the accumulator could overflow or a dyadic multiplier is too coarse.
    """
    assert r.weight is not None and r.weight_scale is not None and r.bias is not None
    ratio = r.weight_scale.astype(np.float64) * np.float64(x.scale) / np.float64(y.scale)
    skip_ratio = None if skip is None else float(np.float64(skip.scale) / np.float64(y.scale))
    d = dyadic(ratio, skip_ratio, name=r.name)
    w = r.weight.astype(np.int64)
    bias = r.bias.astype(np.int64) - x.zero_point * w.reshape(len(w), -1).sum(1)
    acc_range = check_accumulator(w, bias, act_lo=0, act_hi=x.hi, name=r.name)
    return _constants(d, bias, y, 0 if skip is None else skip.zero_point, acc_range)


def derive_pool(r: QRegion, x: QTensor, y: QTensor) -> Constants:
    """Requantisation constants of an average pool: a sum over ``n`` pixels times ``1 / n``.

    Raises
    ------
    NumericsError
        As `derive_layer`.
    """
    n, channels = r.kernel[0] * r.kernel[1], y.shape[0]
    ratio = np.float64(x.scale) / (np.float64(y.scale) * n)
    d = dyadic(np.full(channels, ratio), name=r.name)
    bias = np.full(channels, -n * x.zero_point, np.int64)
    ones = np.ones((1, n), np.int64)
    acc_range = check_accumulator(ones, bias[:1], act_lo=0, act_hi=x.hi, name=r.name)
    return _constants(d, bias, y, 0, acc_range)


def integer_conv(x: Bytes, weight: NDArray[np.int8], r: QRegion, zp: int, hi: int) -> Ints:
    """Exact accumulators ``sum(w * q)`` of stored activations, padded with the zero point.

    Sums of integers below 2^24 (2^53) are exact in float32 (float64) in any order; the bound is
    taken from the weights.

    Parameters
    ----------
    x : uint8, shape (N, H, W, C)
    weight : int8, shape (C_out, C_in, KH, KW)
    r : QRegion
        For stride, padding and dilation.
    zp, hi : int
        Zero point and greatest stored value of ``x``.

    Returns
    -------
    int64, shape (N, H_out, W_out, C_out)
    """
    bound = int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1).max()) * hi
    dtype = torch.float32 if bound < 2**24 else torch.float64
    q = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).to(dtype)
    if any(r.padding):
        ph, pw = r.padding
        q = F.pad(q, (pw, pw, ph, ph), value=float(zp))
    reach = [d * (k - 1) for d, k in zip(r.dilation, weight.shape[2:], strict=True)]
    height = (q.shape[2] - reach[0] - 1) // r.stride[0] + 1
    width = (q.shape[3] - reach[1] - 1) // r.stride[1] + 1
    matrix = torch.from_numpy(weight.reshape(len(weight), -1)).to(dtype)
    out = np.empty((len(x), height, width, len(weight)), np.int64)
    step = max(1, _FIELDS_MAX // (matrix.shape[1] * height * width))
    with torch.no_grad():  # plain matrix products: no Winograd, no reduced precision
        for i in range(0, len(x), step):
            fields = F.unfold(q[i : i + step], weight.shape[2:], r.dilation, 0, r.stride)
            acc = (matrix @ fields).transpose(1, 2).reshape(-1, height, width, len(weight))
            out[i : i + step] = acc.numpy()
    return out


def _windows(x: Bytes, r: QRegion) -> Bytes:
    """Pooling windows of ``(N, H, W, C)`` as ``(N, H_out, W_out, C, KH, KW)``, padded with 0."""
    ph, pw = r.padding
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    view: Bytes = np.lib.stride_tricks.sliding_window_view(  # type: ignore[call-overload]
        padded, r.kernel, axis=(1, 2)
    )
    windows: Bytes = view[:, :: r.stride[0], :: r.stride[1]]
    return windows


@dataclass(frozen=True)
class QuantizedModel:
    """A network in integers.

    Parameters
    ----------
    regions : tuple of QRegion
        In topological order.
    qtensors : mapping of str to QTensor
        Every stored tensor, by the name of the region that makes it; ``"input"`` is the input.
    output : str
        The output tensor.
    flatten_output : bool
        Whether the output is handed out as ``(N, C * H * W)``.

    Raises
    ------
    NumericsError
        At construction, naming the layer: accumulator overflow or a dyadic error above 2^-12.
    """

    regions: tuple[QRegion, ...]
    qtensors: Mapping[str, QTensor]
    output: str
    flatten_output: bool = False

    def __post_init__(self) -> None:
        _ = self.constants

    @cached_property
    def constants(self) -> dict[str, Constants]:
        """Derived integers of every region but max pools, by region name."""
        out = {}
        for r in self.regions:
            x, y = self.qtensors[r.input], self.qtensors[r.name]
            if r.is_layer:
                out[r.name] = derive_layer(r, x, y, self.qtensors[r.skip] if r.skip else None)
            elif r.kind == "avgpool":
                out[r.name] = derive_pool(r, x, y)
            elif (x.bits, x.scale, x.zero_point) != (y.bits, y.scale, y.zero_point):
                raise ModelError(f"{r.name}: a max pool must keep the type of its input")
        return out

    @property
    def layers(self) -> tuple[QRegion, ...]:
        """The regions with weights."""
        return tuple(r for r in self.regions if r.is_layer)

    def run_region(self, r: QRegion, values: Mapping[str, Bytes]) -> Bytes:
        """The stored output of one region for its stored inputs, NHWC or ``(N, K)``."""
        x, qx = values[r.input], self.qtensors[r.input]
        if r.kind == "maxpool":
            return np.asarray(_windows(x, r).max((-2, -1)), np.uint8)
        c = self.constants[r.name]
        if r.kind == "avgpool":
            acc = _windows(x, r).sum((-2, -1), dtype=np.int64)
        else:
            assert r.weight is not None
            weight = r.weight
            if r.kind == "linear":  # a 1x1 convolution; flattened in the order (C, H, W)
                x = x.transpose(0, 3, 1, 2) if x.ndim == 4 else x
                x, weight = x.reshape(len(x), 1, 1, weight.shape[1]), weight[:, :, None, None]
            acc = integer_conv(x, weight, r, qx.zero_point, qx.hi)
            acc = acc.reshape(len(acc), len(weight)) if r.kind == "linear" else acc
        y = requantize(
            acc,
            bias=c.bias,
            m=c.m,
            s=c.s,
            zp=c.zp,
            lo=c.lo,
            hi=c.hi,
            m2=c.m2,
            t=c.t,
            skip=values[r.skip].astype(np.int64) if r.skip else None,
            zp_skip=c.zp_skip,
        )
        return y.astype(np.uint8)

    def tensors(self, images: Bytes) -> dict[str, Bytes]:
        """Every stored tensor for a batch of images.

        Parameters
        ----------
        images : uint8, shape (N, H, W, C)

        Returns
        -------
        dict of str to uint8
            ``(N, H, W, C)`` or ``(N, K)``.

        Raises
        ------
        ShapeError
            When the images are not uint8 or not of the network's input shape.
        """
        c, h, w = self.qtensors["input"].shape
        if images.dtype != np.uint8 or images.shape[1:] != (h, w, c):
            raise ShapeError(
                f"images are {images.dtype} {images.shape}; need uint8 (N, {h}, {w}, {c})"
            )
        values: dict[str, Bytes] = {"input": images}
        for r in self.regions:
            values[r.name] = self.run_region(r, values)
        return values

    def run(self, images: Bytes, batch: int = 100) -> Bytes:
        """The network's output integers.

        Parameters
        ----------
        images : uint8, shape (N, H, W, C)
        batch : int
            Images at a time, which bounds the memory.

        Returns
        -------
        uint8, shape (N, K) or (N, H, W, C)

        Raises
        ------
        ShapeError
            As `tensors`.
        """
        parts = []
        for start in range(0, max(len(images), 1), batch):
            y = self.tensors(images[start : start + batch])[self.output]
            if self.flatten_output and y.ndim == 4:
                y = y.transpose(0, 3, 1, 2).reshape(len(y), int(np.prod(y.shape[1:])))
            parts.append(y)
        return np.concatenate(parts)

    def dequantize(self, outputs: Bytes) -> NDArray[np.float32]:
        """Output integers as real numbers, float32, the same shape."""
        q = self.qtensors[self.output]
        return ((outputs.astype(np.float64) - q.zero_point) * q.scale).astype(np.float32)

    def quantize_input(self, x: NDArray[np.float32]) -> Bytes:
        """Float images ``(N, C, H, W)`` as the bytes ``(N, H, W, C)`` that `run` takes."""
        q = self.qtensors["input"]
        bytes_ = np.clip(np.floor(x / np.float64(q.scale) + 0.5) + q.zero_point, 0, 255)
        return np.ascontiguousarray(bytes_.transpose(0, 2, 3, 1)).astype(np.uint8)

    def report(self) -> list[dict[str, object]]:
        """One row for each layer: bits, accumulator bounds, dyadic error (relative)."""
        rows: list[dict[str, object]] = []
        for r in self.regions:
            c = self.constants.get(r.name)
            rows.append(
                {
                    "name": r.name,
                    "kind": r.kind,
                    "weight_bits": r.weight_bits,
                    "act_bits": self.qtensors[r.input].bits,
                    "out_bits": self.qtensors[r.name].bits,
                    "acc_min": c.acc_range[0] if c else None,
                    "acc_max": c.acc_range[1] if c else None,
                    "dyadic_error": c.error if c else 0.0,
                }
            )
        return rows

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights, each layer rounded up to whole bytes."""
        return sum(
            -(-r.weight.size * r.weight_bits // 8) for r in self.layers if r.weight is not None
        )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; see `hessbit.quant.store`."""
        from hessbit.quant.store import save

        save(self, path)

    @staticmethod
    def load(path: str | Path) -> QuantizedModel:
        """Read a file that `save` wrote; ArtifactError when it is not intact."""
        from hessbit.quant.store import load

        return load(path)
