"""The float graph: fused regions between quantised tensors.

A *region* is what the accelerator does between two stored tensors: a convolution or a linear layer,
an optional residual addition, an optional ReLU, then one requantisation; or a pool. A region's
output tensor carries the region's name; the network's input is called ``"input"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from hessbit.errors import ModelError, ShapeError, UnsupportedError
from hessbit.geometry import LayerGeometry

INPUT = "input"
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Region:
    """One fused operation of batch-free shapes ``(C, H, W)``, or ``(K,)`` after a linear layer.

    ``kind`` is ``conv``, ``linear``, ``maxpool`` or ``avgpool`` (a global pool has the kernel of
    its map). ``weight`` is ``(C_out, C_in, KH, KW)`` or ``(K_out, K_in)``, ``bias`` ``(C_out,)``,
    both float32 with batch norm folded; None for pools. A linear layer flattens its input in the
    order ``(C, H, W)``.
    """

    name: str
    kind: str
    input: str
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    skip: str | None = None
    relu: bool = False
    weight: Floats | None = None
    bias: Floats | None = None
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def is_layer(self) -> bool:
        """Whether the region has weights."""
        return self.kind in ("conv", "linear")


@dataclass(frozen=True, kw_only=True)
class FloatGraph:
    """A captured network: regions in topological order, output tensor, input shape ``(C, H, W)``.

    ``flatten_output`` says that the network's output is the output tensor as ``(N, C * H * W)``.
    """

    regions: tuple[Region, ...]
    output: str
    in_shape: tuple[int, int, int]
    flatten_output: bool = False

    @property
    def layers(self) -> tuple[Region, ...]:
        """The regions with weights."""
        return tuple(r for r in self.regions if r.is_layer)

    def region(self, name: str) -> Region:
        """The region called ``name``; ModelError when there is none."""
        for r in self.regions:
            if r.name == name:
                return r
        raise ModelError(f"no layer {name!r}; layers are {', '.join(layer_names(self))}")

    def root(self, tensor: str) -> str:
        """The tensor whose values ``tensor`` holds: itself, or the input of the max pools above."""
        regions = {r.name: r for r in self.regions}
        while tensor in regions and regions[tensor].kind == "maxpool":
            tensor = regions[tensor].input
        return tensor

    def groups(self) -> dict[str, list[str]]:
        """Root tensor to the layers that read it and so share one activation width."""
        out: dict[str, list[str]] = {}
        for r in self.layers:
            out.setdefault(self.root(r.input), []).append(r.name)
        return out

    def byte_tensors(self) -> set[str]:
        """Root tensors that always have 8 bits: the network's input and output."""
        return {INPUT, self.root(self.output)}


def layer_names(graph: FloatGraph) -> list[str]:
    """Names of the convolutions and linear layers, in topological order."""
    return [r.name for r in graph.layers]


def region_geometry(r: Region) -> LayerGeometry:
    """Geometry of one layer; a linear layer behind ``(C, H, W)`` is an ``H x W`` convolution.

    Raises
    ------
    UnsupportedError
        For dilation and for strides or paddings that differ between rows and columns, which
        `LayerGeometry` does not describe.
    """
    if r.kind == "linear":
        c, h, w = r.in_shape if len(r.in_shape) == 3 else (r.in_shape[0], 1, 1)
        return LayerGeometry(
            name=r.name,
            c_in=c,
            c_out=r.out_shape[0],
            kh=h,
            kw=w,
            stride=1,
            pad=0,
            h_in=h,
            w_in=w,
            has_skip=r.skip is not None,
        )
    if r.dilation != (1, 1) or len({*r.stride}) > 1 or len({*r.padding}) > 1:
        raise UnsupportedError(
            "Conv2d", r.name, "the accelerator takes dilation 1 and equal strides and paddings"
        )
    c, h, w = r.in_shape
    return LayerGeometry(
        name=r.name,
        c_in=c,
        c_out=r.out_shape[0],
        kh=r.kernel[0],
        kw=r.kernel[1],
        stride=r.stride[0],
        pad=r.padding[0],
        h_in=h,
        w_in=w,
        has_skip=r.skip is not None,
    )


def macs(r: Region) -> int:
    """Multiply-accumulates of a layer for one image."""
    assert r.weight is not None
    return int(r.weight.size) * int(np.prod(r.out_shape[1:], dtype=np.int64))


Parameters = Mapping[str, torch.Tensor]
Hook = Callable[[str, torch.Tensor], torch.Tensor]


def parameters(graph: FloatGraph) -> dict[str, torch.Tensor]:
    """Fresh torch copies of all weights and biases, by ``layer.weight`` and ``layer.bias``."""
    out = {}
    for r in graph.layers:
        assert r.weight is not None and r.bias is not None
        out[f"{r.name}.weight"] = torch.from_numpy(r.weight.copy())
        out[f"{r.name}.bias"] = torch.from_numpy(r.bias.copy())
    return out


def linear_part(r: Region, x: torch.Tensor, params: Parameters) -> torch.Tensor:
    """The convolution or linear layer of a region, bias included, on ``x`` of ``(N, C, H, W)``."""
    weight, bias = params[f"{r.name}.weight"], params[f"{r.name}.bias"]
    if r.kind == "linear":
        return F.linear(torch.flatten(x, 1), weight, bias)
    return F.conv2d(x, weight, bias, r.stride, r.padding, r.dilation)


def apply_region(
    r: Region, x: torch.Tensor, skip: torch.Tensor | None, params: Parameters
) -> torch.Tensor:
    """The float value of a region for its float inputs ``(N, C, H, W)``."""
    if r.kind == "maxpool":
        return F.max_pool2d(x, r.kernel, r.stride, r.padding)
    if r.kind == "avgpool":
        return F.avg_pool2d(x, r.kernel, r.stride)
    y = linear_part(r, x, params)
    if skip is not None:
        y = y + skip
    return F.relu(y) if r.relu else y


def forward(
    graph: FloatGraph, x: torch.Tensor, params: Parameters, hook: Hook | None = None
) -> torch.Tensor:
    """Run the float graph.

    Parameters
    ----------
    x : float32, shape (N, C, H, W)
    params : mapping
        As `parameters` makes them.
    hook : callable, optional
        Called as ``hook(tensor, value)`` on every stored tensor; its result replaces the value.

    Returns
    -------
    float32, shape (N, K) or (N, C, H, W)

    Raises
    ------
    ShapeError
        When the images do not have the network's input shape.
    """
    if tuple(x.shape[1:]) != graph.in_shape:
        c, h, w = graph.in_shape
        raise ShapeError(f"images of shape {tuple(x.shape)}; the network takes (N, {c}, {h}, {w})")
    values = {INPUT: hook(INPUT, x) if hook else x}
    for r in graph.regions:
        y = apply_region(r, values[r.input], values[r.skip] if r.skip else None, params)
        values[r.name] = hook(r.name, y) if hook else y
    y = values[graph.output]
    return torch.flatten(y, 1) if graph.flatten_output else y
