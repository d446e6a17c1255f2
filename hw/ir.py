"""The compiler's intermediate representation: a graph of integer tensors and fused operators.

Tensors are unsigned integers with a scale and a zero point, NHWC, batch 1. Every operator makes one
tensor; operators stand in an order in which each reads only what came before (SSA).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hessbit.numerics import Ints

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]
"""Padding: top, left, bottom, right."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A feature map: ``real = (stored - zero_point) * scale``, stored in ``bits`` unsigned bits."""

    name: str
    h: int
    w: int
    c: int
    bits: int
    scale: float
    zero_point: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        return (self.h, self.w, self.c)


@dataclass(frozen=True, kw_only=True, eq=False)
class Constants:
    """Requantisation of one operator; arrays have one entry per output channel.

    Attributes
    ----------
    m, s, m2, t, bias : int64, shape (C,)
        As in :func:`hessbit.numerics.requantize`; the bias holds the input's zero point.
    zp, lo, hi : int
        Output zero point and clamp bounds.
    ratio : float64, shape (C,)
        The real ratio that ``m / 2^s`` stands for.
    skip_ratio : float, optional
        The real ratio that ``m2 * 2^t / 2^s`` stands for.
    """

    m: Ints
    s: Ints
    m2: Ints
    t: Ints
    bias: Ints
    zp: int
    lo: int
    hi: int
    ratio: NDArray[np.float64]
    skip_ratio: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Input:
    """The network's input, bytes in DDR."""

    name: str
    output: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv:
    """Convolution or fully connected layer with bias, residual, ReLU and requantisation.

    Attributes
    ----------
    weights : int64, shape (C_out, KH, KW, C_in)
        Two's complement in ``weight_bits``; -1 and +1 where ``bipolar``.
    skip : str, optional
        Residual input, of the output's shape.
    stride, dilation : (rows, columns)
    pad : (top, left, bottom, right), filled with the input's zero point
    """

    name: str
    input: str
    output: str
    weights: Ints
    weight_bits: int
    bipolar: bool
    stride: Pair
    pad: Pads
    dilation: Pair
    constants: Constants
    skip: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Sum or maximum over windows, then requantisation; positions outside the map are skipped.

    A 1x1 window is an element-wise operation: requantise, or add a residual.
    """

    name: str
    input: str
    output: str
    op: str  # "sum" or "max"
    kernel: Pair
    stride: Pair
    pad: Pads
    constants: Constants
    skip: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Output:
    """The network's output: ``input`` goes to DDR as bytes."""

    name: str
    input: str


Op = Input | Conv | Pool | Output
Compute = Conv | Pool


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A network: tensors by name and operators in order."""

    name: str
    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]

    @property
    def compute(self) -> list[Compute]:
        """Convolutions and pools in order."""
        return [op for op in self.ops if isinstance(op, Conv | Pool)]

    @property
    def input(self) -> Tensor:
        """The network's input tensor."""
        return next(self.tensors[op.output] for op in self.ops if isinstance(op, Input))

    @property
    def output(self) -> Tensor:
        """The network's output tensor."""
        return next(self.tensors[op.input] for op in self.ops if isinstance(op, Output))

    def readers(self, tensor: str) -> list[Op]:
        """Operators that read ``tensor``."""
        return [op for op in self.ops if tensor in reads(op)]

    def producer(self, tensor: str) -> Op:
        """The operator that makes ``tensor``."""
        return next(op for op in self.ops if not isinstance(op, Output) and op.output == tensor)

    def with_ops(self, ops: list[Op], tensors: dict[str, Tensor] | None = None) -> Graph:
        """The graph with other operators; tensors that none of them names are dropped."""
        table = self.tensors if tensors is None else tensors
        used = {name for op in ops for name in names(op)}
        return replace(self, ops=tuple(ops), tensors={k: v for k, v in table.items() if k in used})


def reads(op: Op) -> tuple[str, ...]:
    """Tensors that ``op`` reads."""
    if isinstance(op, Input):
        return ()
    if isinstance(op, Output) or op.skip is None:
        return (op.input,)
    return (op.input, op.skip)


def names(op: Op) -> Iterator[str]:
    """Tensors that ``op`` reads or makes."""
    yield from reads(op)
    if not isinstance(op, Output):
        yield op.output


def kernel_of(op: Compute) -> Pair:
    """Kernel rows and columns."""
    if isinstance(op, Pool):
        return op.kernel
    return (op.weights.shape[1], op.weights.shape[2])


def dilation_of(op: Compute) -> Pair:
    """Distance of kernel rows and columns."""
    return op.dilation if isinstance(op, Conv) else (1, 1)


def output_size(op: Compute, h: int, w: int) -> Pair:
    """Rows and columns of the output for an ``h`` x ``w`` input."""
    (kh, kw), (dy, dx) = kernel_of(op), dilation_of(op)
    top, left, bottom, right = op.pad
    return (
        (h + top + bottom - dy * (kh - 1) - 1) // op.stride[0] + 1,
        (w + left + right - dx * (kw - 1) - 1) // op.stride[1] + 1,
    )
