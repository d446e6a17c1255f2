"""Sensitivity of every layer and tensor to its width: curvature times quantisation error.

``Omega(b) = tr(H) / n * |Q_b(x) - x|^2``, the sum of squares over all ``n`` elements: of a layer's
weights, or of one image's activation tensor (average over images). Half of it is the second-order
estimate of the loss increase, the same for weights and activations, so the two may be added [1]_.

The weight error is that of rounding to nearest. Where the network will be rounded with compensation
(`hessbit.quant.rounding`), it is multiplied by the share of the layer's output error that
compensation leaves, measured on the layer's own inputs; without this the weights would be given
bits that they do not need.

References
----------
.. [1] Dong et al., HAWQ-V2, 2020, eqs. 8 and 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hessbit.errors import ArtifactError, ConfigError, ModelError
from hessbit.files import write_json
from hessbit.quant.calibrate import (
    Batch,
    Doubles,
    activation_range,
    images_of,
    observe,
    quantize_values,
    round_weights,
    weight_scales,
)
from hessbit.quant.curvature import CurvatureReport
from hessbit.quant.graph import FloatGraph, forward, linear_part, parameters
from hessbit.quant.rounding import INPUTS_MAX, MomentSum, compensated, refit_scales
from hessbit.quant.store import read_json

FORMAT = "hessbit-sensitivity"
Table = dict[str, dict[int, float]]


@dataclass(frozen=True, kw_only=True)
class SensitivityTable:
    """Omega by layer (weights) and by tensor (activations) and width.

    ``inputs`` names the tensor that each layer reads (behind max pools), whose width is the
    layer's ``act_bits``.
    """

    weights: Table
    activations: Table
    inputs: dict[str, str]

    def save(self, path: str | Path) -> None:
        """Write the sensitivity JSON."""
        data = {"weights": self.weights, "activations": self.activations, "inputs": self.inputs}
        write_json(path, {"format": FORMAT, "version": 1, **data})

    @staticmethod
    def load(path: str | Path) -> SensitivityTable:
        """Read the sensitivity JSON.

        Raises
        ------
        ArtifactError
            When the file is missing, of another format or malformed.
        """
        data = read_json(path, FORMAT)
        try:
            tables = [
                {n: {int(b): float(v) for b, v in row.items()} for n, row in data[key].items()}
                for key in ("weights", "activations")
            ]
            return SensitivityTable(
                weights=tables[0], activations=tables[1], inputs=dict(data["inputs"])
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{path} is malformed: {error}") from error


def monotone(row: dict[int, float]) -> dict[int, float]:
    """Clamp at 0 and make the values non-increasing in the width (running maximum from above)."""
    out, high = {}, 0.0
    for bits in sorted(row, reverse=True):
        high = max(high, row[bits])
        out[bits] = high
    return dict(sorted(out.items()))


def _covariances(graph: FloatGraph, batches: list[Batch]) -> dict[str, Doubles]:
    """Input covariance of every layer that compensation takes, on the float network."""
    rng = torch.Generator().manual_seed(0)
    images = sum(len(images_of(b)) for b in batches)
    layers = [r for r in graph.layers if r.weight is not None and r.weight[0].size <= INPUTS_MAX]
    sums = {r.name: MomentSum(r, images) for r in layers}
    params, values = parameters(graph), {}

    def hook(name: str, value: torch.Tensor) -> torch.Tensor:
        values[name] = value
        return value

    with torch.no_grad():
        for batch in batches:
            forward(graph, images_of(batch), params, hook)
            for r in layers:
                x = values[r.input]
                sums[r.name].add(x, linear_part(r, x, params), rng)
            values.clear()
    return {name: total.moments().cov_x for name, total in sums.items()}


def _share_left(w: Doubles, scale: Doubles, bits: int, cov: Doubles) -> float:
    """Output error after compensated rounding, as a share of that after rounding to nearest."""

    def loss(integers: Doubles, by: Doubles) -> float:
        d = integers * by[:, None] - w
        return float(((d @ cov) * d).sum())

    better = compensated(w, scale, bits, cov)
    plain = loss(round_weights(w, scale, bits), scale)
    left = loss(better, refit_scales(w, better, scale, cov))
    return min(max(left / plain, 0.0), 1.0) if plain > 0 else 1.0


def sensitivities(
    graph: FloatGraph,
    report: CurvatureReport,
    batches: Iterable[Batch],
    *,
    bits: Sequence[int] = range(1, 9),
    observer: str = "mse",
    rounding: str = "compensated",
) -> SensitivityTable:
    """Omega of every layer and of every tensor that a layer reads, for each width.

    Parameters
    ----------
    graph : FloatGraph
    report : CurvatureReport
        Of the same network. Negative trace estimates count as 0.
    batches : iterable
        Calibration batches, for the activation ranges and errors.
    bits : sequence of int
        Widths, each 1..8.
    observer : str
        See `hessbit.quant.calibrate.activation_range`.
    rounding : str
        How the network will be rounded: ``"compensated"`` or ``"nearest"``.

    Returns
    -------
    SensitivityTable

    Raises
    ------
    ConfigError
        For a width or an observer out of range.
    ModelError
        When the report is of another network.
    """
    if not bits or any(not 1 <= b <= 8 for b in bits):
        raise ConfigError(f"bits {list(bits)}: each must be 1 to 8")
    if rounding not in ("nearest", "compensated"):
        raise ConfigError(f"rounding {rounding!r}; choose from nearest, compensated")
    batches = list(batches)
    stats = observe(graph, batches)
    covariances = _covariances(graph, batches) if rounding == "compensated" else {}
    weights: Table = {}
    for r in graph.layers:
        assert r.weight is not None
        if r.name not in report.layers or report.layers[r.name].size != r.weight.size:
            raise ModelError(f"the curvature report has no fitting layer {r.name!r}; analyse again")
        w = r.weight.reshape(len(r.weight), -1).astype(np.float64)
        row = {}
        for b in bits:
            scales = weight_scales(w, b)
            q = round_weights(w, np.maximum(scales, 1e-300), b) * scales[:, None]
            share = 1.0
            if r.name in covariances:
                share = _share_left(w, np.maximum(scales, 1e-12), b, covariances[r.name])
            error = float(((q - w) ** 2).sum())
            row[b] = max(report.layers[r.name].average, 0.0) * error * share
        weights[r.name] = monotone(row)
    activations: Table = {}
    for tensor in graph.groups():
        trace = report.activations.get(tensor)
        x = stats[tensor].values().astype(np.float64)
        row = {}
        for b in bits:
            scale, zp = activation_range(stats[tensor], b, observer)
            error = float(np.mean((quantize_values(x, scale, zp, b) - x) ** 2)) if scale else 0.0
            row[b] = max(trace.trace, 0.0) * error if trace else 0.0
        activations[tensor] = monotone(row)
    inputs = {r.name: graph.root(r.input) for r in graph.layers}
    return SensitivityTable(weights=weights, activations=activations, inputs=inputs)
