"""From a float graph and a bit assignment to the integer model, layer after layer.

Each layer is rounded against the output of the layers before it **as they run in integers**, so the
errors made earlier are seen, and partly taken up, by the weights that follow.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from hessbit.errors import ConfigError, ModelError, NumericsError
from hessbit.quant.bits import BitAssignment
from hessbit.quant.calibrate import (
    Batch,
    Progress,
    activation_range,
    images_of,
    observe,
    round_weights,
    weight_scales,
)
from hessbit.quant.graph import INPUT, FloatGraph, Region, apply_region, parameters
from hessbit.quant.model import Bytes, QRegion, QTensor, QuantizedModel
from hessbit.quant.rounding import INPUTS_MAX, MomentSum, compensated, fit_weights, refit_scales

Doubles = NDArray[np.float64]
ROUNDINGS = ("nearest", "compensated")
BIAS_MAX = 2**30
_BIAS_TARGET = 2.0**27
_RATIO_MIN = 2.0**-26  # keeps dyadic multipliers of nearly dead channels precise
_RATIO_MAX = 2.0**10


def quantize(
    graph: FloatGraph,
    bits: BitAssignment,
    calibration_batches: Iterable[Batch],
    *,
    observer: str = "mse",
    weight_observer: str = "mse",
    rounding: str = "compensated",
    input_scale: float = 1 / 64,
    input_zero_point: int = 128,
    seed: int = 0,
    progress: Progress | None = None,
) -> QuantizedModel:
    """Quantise a network without training.

    Parameters
    ----------
    graph : FloatGraph
    bits : BitAssignment
    calibration_batches : iterable
        Of ``x`` or ``(x, y)``; ``x`` float32 ``(N, C, H, W)``. A few hundred images.
    observer, weight_observer : str
        See `hessbit.quant.calibrate`.
    rounding : str
        ``"nearest"``, or ``"compensated"`` (see `hessbit.quant.rounding`; layers of more than 6144
        weights per output channel are rounded to nearest). Both correct the bias.
    input_scale, input_zero_point : float, int
        A pixel ``p`` (uint8) stands for ``(p - input_zero_point) * input_scale``.
    seed : int
        Of the sampling of activations.
    progress : callable, optional
        Called as ``progress(text, fraction)``.

    Returns
    -------
    QuantizedModel

    Raises
    ------
    ConfigError
        For an option or a bit assignment out of range.
    ModelError
        Without calibration images, or when activations are not finite.
    NumericsError
        Naming the layer, when 32 bits could overflow or a scale ratio has no dyadic form.
    """
    if rounding not in ROUNDINGS:
        raise ConfigError(f"rounding {rounding!r}; choose from {', '.join(ROUNDINGS)}")
    if not (np.isfinite(input_scale) and input_scale > 0 and 0 <= input_zero_point <= 255):
        raise ConfigError("input_scale must be positive and input_zero_point 0 to 255")
    batches = [images_of(b) for b in calibration_batches]
    if not batches:
        raise ModelError("no calibration batches; give at least one")
    tensors = _tensor_types(
        graph,
        bits,
        batches,
        observer=observer,
        weight_observer=weight_observer,
        input_type=(input_scale, input_zero_point),
        seed=seed,
    )
    work = _Sequential(graph, tensors, batches, seed)
    regions: list[QRegion] = []
    for index, r in enumerate(graph.regions):
        if progress:
            progress(f"quantise {r.name}", index / len(graph.regions))
        q = _plain(r)
        if r.is_layer:
            q = work.layer(r, bits.layers[r.name].weight_bits, weight_observer, rounding)
        regions.append(q)
        work.advance(r, q)
    if progress:
        progress("quantised", 1.0)
    return QuantizedModel(tuple(regions), tensors, graph.output, graph.flatten_output)


def _plain(r: Region, **weights: object) -> QRegion:
    return QRegion(
        name=r.name,
        kind=r.kind,
        input=r.input,
        skip=r.skip,
        relu=r.relu,
        kernel=r.kernel,
        stride=r.stride,
        padding=r.padding,
        dilation=r.dilation,
        **weights,  # type: ignore[arg-type]
    )


def _tensor_types(
    graph: FloatGraph,
    bits: BitAssignment,
    batches: list[torch.Tensor],
    *,
    observer: str,
    weight_observer: str,
    input_type: tuple[float, int],
    seed: int,
) -> dict[str, QTensor]:
    """Scale and zero point of every tensor; scales grow where a ratio would be out of range."""
    widths = bits.tensor_bits(graph)
    stats = observe(graph, batches, seed=seed)
    scales, zeros = {INPUT: float(np.float32(input_type[0]))}, {INPUT: input_type[1]}
    for r in graph.regions:
        if r.kind != "maxpool":
            scale, zeros[r.name] = activation_range(stats[r.name], widths[r.name], observer)
            scales[r.name] = scale or scales[graph.root(r.input)]
    widest = {
        r.name: _widest(r, bits.layers[r.name].weight_bits, weight_observer) for r in graph.layers
    }

    def at_least(tensor: str, scale: float) -> bool:
        if tensor == INPUT or scales[tensor] >= scale:
            return False
        scales[tensor] = float(np.nextafter(np.float32(scale), np.float32(np.inf)))
        return True

    changed = True
    while changed:  # scales only grow, each by a bounded number of steps: it ends
        changed = False
        for r in graph.regions:
            if r.kind == "maxpool":
                continue
            x = scales[graph.root(r.input)]
            unit = widest[r.name] * x if r.is_layer else x / (r.kernel[0] * r.kernel[1])
            changed |= at_least(r.name, unit / _RATIO_MAX)
            if r.skip is not None:  # dyadic m2 must keep 11 bits beside m
                skip = graph.root(r.skip)
                changed |= at_least(skip, unit / 8) or at_least(skip, scales[r.name] * 2.0**-20)
    shapes = {INPUT: graph.in_shape, **{r.name: r.out_shape for r in graph.regions}}
    return {
        name: QTensor(
            name=name,
            shape=shapes[name],
            bits=widths[name],
            scale=scales[graph.root(name)],
            zero_point=zeros[graph.root(name)],
        )
        for name in shapes
    }


def _widest(r: Region, bits: int, observer: str) -> float:
    """The largest scale that `_Sequential.layer` may give a channel of the layer."""
    return 2 * float(weight_scales(_matrix(r), bits, observer).max())


def _matrix(r: Region) -> Doubles:
    assert r.weight is not None
    return r.weight.reshape(len(r.weight), -1).astype(np.float64)


class _Sequential:
    """Runs the float graph and the integer model side by side over the calibration images."""

    def __init__(
        self, graph: FloatGraph, tensors: dict[str, QTensor], batches: list[torch.Tensor], seed: int
    ) -> None:
        self.tensors, self.params = tensors, parameters(graph)
        self.rng = torch.Generator().manual_seed(seed)
        self.floats = {INPUT: torch.cat(batches)}
        probe = QuantizedModel((), tensors, INPUT)
        self.stored: dict[str, Bytes] = {INPUT: probe.quantize_input(self.floats[INPUT].numpy())}
        self.last_use: dict[str, str] = {}
        for r in graph.regions:
            self.last_use.update({t: r.name for t in (r.input, r.skip) if t is not None})

    def real(self, tensor: str) -> torch.Tensor:
        """The stored tensor as float32 ``(N, C, H, W)`` or ``(N, K)``."""
        q, t = self.stored[tensor], self.tensors[tensor]
        x = (torch.from_numpy(q).float() - t.zero_point) * t.scale
        return x.permute(0, 3, 1, 2) if x.dim() == 4 else x

    def layer(self, r: Region, bits: int, observer: str, rounding: str) -> QRegion:
        """Integer weights and bias of one layer."""
        assert r.bias is not None and r.weight is not None
        x, skip = self.tensors[r.input], self.tensors[r.skip] if r.skip else None
        y = self.tensors[r.name]
        linear = Region(**{**vars(r), "relu": False})
        with torch.no_grad():
            target = apply_region(
                linear, self.floats[r.input], self.floats[r.skip] if r.skip else None, self.params
            )
            if skip is not None:
                target = target - self.real(skip.name)  # makes up for the skip's error too
            second = rounding == "compensated" and r.weight[0].size <= INPUTS_MAX
            total = MomentSum(r, len(target), second)
            total.add(self.real(r.input), target, self.rng)
        mom = total.moments()
        weight, bias = _matrix(r), r.bias.astype(np.float64)
        wanted = fit_weights(weight, mom) if second else weight
        floor = np.maximum(
            4 * (np.abs(bias) + np.abs(mom.mean_e)) / (_BIAS_TARGET * x.scale),
            _RATIO_MIN * y.scale / x.scale,
        )
        base = weight_scales(wanted, bits, observer)
        top = _widest(r, bits, observer)
        scale = np.maximum(np.minimum(base, top), floor)
        if second:
            integers = compensated(wanted, scale, bits, mom.cov_x)
            scale = np.clip(
                refit_scales(wanted, integers, scale, mom.cov_x), floor, np.maximum(top, floor)
            )
        else:
            integers = round_weights(weight, scale, bits)
        scale32 = scale.astype(np.float32)
        kept = integers * scale32.astype(np.float64)[:, None]
        # mean of the target = E[W x + b + e]; the bias restores it for the rounded weights
        fixed = bias + mom.mean_e + (weight - kept) @ mom.mean_x
        steps = np.floor(fixed / (scale32.astype(np.float64) * x.scale) + 0.5)
        if np.abs(steps).max() >= BIAS_MAX:
            raise NumericsError(
                f"{r.name}: the bias needs {np.abs(steps).max():.3g} steps, at most 2^30 are "
                "allowed; use fewer weight bits"
            )
        return _plain(
            r,
            weight_bits=bits,
            weight=integers.reshape(r.weight.shape).astype(np.int8),
            weight_scale=scale32,
            bias=steps.astype(np.int32),
        )

    def advance(self, r: Region, q: QRegion) -> None:
        """Compute the region's output on both sides and drop what nothing reads any more."""
        names = {t for t in (r.input, r.skip, r.name) if t is not None}
        model = QuantizedModel((q,), {n: self.tensors[n] for n in names}, r.name)
        with torch.no_grad():
            self.floats[r.name] = apply_region(
                r, self.floats[r.input], self.floats[r.skip] if r.skip else None, self.params
            )
        self.stored[r.name] = model.run_region(q, self.stored)
        for tensor, user in self.last_use.items():
            if user == r.name:
                del self.floats[tensor], self.stored[tensor]
