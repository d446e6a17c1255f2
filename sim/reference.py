"""Run the compiler's IR on integer arrays, exactly: the specification of every program.

Convolutions are matrix products of ``float32`` or ``float64`` where every partial sum is an integer
that the type holds exactly (below 2^24 or 2^53); the accumulator proof guarantees it for float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessbit.errors import ShapeError
from hessbit.hw.ir import Compute, Constants, Conv, Graph, Input, Output, Pads, Pair, Pool
from hessbit.numerics import Ints, requantize

Bytes = NDArray[np.uint8]


def run_tensors(graph: Graph, images: Bytes) -> dict[str, Bytes]:
    """Every tensor of the network.

    Parameters
    ----------
    graph : Graph
    images : uint8, shape (N, h, w, c)
        The stored input; (h, w, c) for one image.

    Returns
    -------
    dict
        uint8 arrays (N, h, w, c) by tensor name.

    Raises
    ------
    ShapeError
        When the images are not uint8 of the input's shape.
    """
    x = graph.input
    if images.ndim == 3:
        images = images[None]
    if images.dtype != np.uint8 or images.shape[1:] != x.shape:
        raise ShapeError(f"images must be uint8 (N, {x.h}, {x.w}, {x.c}), not {images.shape}")
    known: dict[str, Bytes] = {}
    for op in graph.ops:
        if isinstance(op, Input):  # LOAD keeps the low planes of a byte
            known[op.output] = images & np.uint8((1 << x.bits) - 1)
        elif not isinstance(op, Output):
            known[op.output] = _compute(graph, op, known)
    return known


def run(graph: Graph, images: Bytes, batch: int = 16) -> Bytes:
    """The network's output (N, h, w, c) as stored, ``batch`` images at a time."""
    images = images[None] if images.ndim == 3 else images
    name = graph.output.name
    parts = [run_tensors(graph, images[i : i + batch])[name] for i in range(0, len(images), batch)]
    return np.concatenate(parts)


def _compute(graph: Graph, op: Compute, known: dict[str, Bytes]) -> Bytes:
    x, out = known[op.input], graph.tensors[op.output]
    skip = None if op.skip is None else known[op.skip]
    zp_skip = 0 if op.skip is None else graph.tensors[op.skip].zero_point
    if isinstance(op, Conv):
        acc = _convolve(op, x, graph.tensors[op.input].zero_point, (out.h, out.w))
    else:
        acc = _pool(op, x, (out.h, out.w))
    return _requantize(acc, op.constants, skip, zp_skip)


def _requantize(acc: Ints, k: Constants, skip: Bytes | None, zp_skip: int) -> Bytes:
    y = requantize(
        acc,
        bias=k.bias,
        m=k.m,
        s=k.s,
        zp=k.zp,
        lo=k.lo,
        hi=k.hi,
        skip=None if skip is None else skip.astype(np.int64),
        zp_skip=zp_skip,
        m2=k.m2,
        t=k.t,
    )
    return y.astype(np.uint8)


def _padded(x: Bytes, pad: Pads, value: int) -> Bytes:
    if not any(pad):
        return x
    top, left, bottom, right = pad
    return np.pad(
        x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=np.uint8(value)
    )


def _tap(x: Bytes, y: int, z: int, stride: Pair, size: Pair) -> Bytes:
    """The pixels that kernel position (y, z) meets, one for each output pixel."""
    (sy, sx), (h, w) = stride, size
    return x[:, y : y + (h - 1) * sy + 1 : sy, z : z + (w - 1) * sx + 1 : sx]


def _convolve(op: Conv, x: Bytes, zp: int, size: Pair) -> Ints:
    c_out, kh, kw, _ = op.weights.shape
    top = np.abs(op.weights.reshape(c_out, -1)).sum(1).max() * 255
    kind = np.float32 if top < 1 << 24 else np.float64
    padded = _padded(x, op.pad, zp)
    n, (h, w) = len(x), size
    columns = np.empty((n, h, w, kh * kw, padded.shape[3]), kind)
    for y in range(kh):
        for z in range(kw):
            dy, dx = y * op.dilation[0], z * op.dilation[1]
            columns[:, :, :, y * kw + z] = _tap(padded, dy, dx, op.stride, size)
    matrix = op.weights.reshape(c_out, -1).astype(kind)
    acc: NDArray[np.float64] = np.matmul(columns.reshape(n * h * w, -1), matrix.T)
    return np.asarray(acc.reshape(n, h, w, c_out), np.int64)


def _pool(op: Pool, x: Bytes, size: Pair) -> Ints:
    padded = _padded(x, op.pad, 0)  # stored values are unsigned: 0 adds nothing and never wins
    acc = np.zeros((len(x), *size, x.shape[3]), np.int64)
    for y in range(op.kernel[0]):
        for z in range(op.kernel[1]):
            tap = _tap(padded, y, z, op.stride, size).astype(np.int64)
            acc = acc + tap if op.op == "sum" else np.maximum(acc, tap)
    return acc
