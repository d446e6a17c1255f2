"""Hessian of the loss: traces per layer and per activation tensor, top eigenvalues.

Hessian-vector products are two calls of ``torch.autograd.grad`` [1]_; they are linear in the data,
so batches stream through and are weighted by their size. Traces follow Hutchinson [2]_: with
Rademacher ``v``, the expectation of ``v_i . (H v)_i`` is the trace of block ``i``.

*Variance.* Every batch draws its own ``v``. One pass over ``B`` batches costs what one probe with a
shared ``v`` costs, and is still an unbiased estimate of the trace over all data, but it averages
``B`` independent probes: where batches have similar Hessians its variance is ``B`` times smaller.
The standard error of a layer is taken over whole passes (independent, identically distributed), and
the passes stop when every layer's relative standard error is below the tolerance.

For an activation tensor the Hessian is block diagonal over the images, so one probe serves all
images of a batch: the trace is that of one image's block, averaged over the images.

References
----------
.. [1] Pearlmutter, Fast exact multiplication by the Hessian, 1994.
.. [2] Hutchinson, A stochastic estimator of the trace of the influence matrix, 1990.
.. [3] Dong et al., HAWQ-V2, 2020, section 3: average traces of weights and activations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from hessbit.errors import ArtifactError, ConfigError, ModelError
from hessbit.files import write_json
from hessbit.quant.calibrate import Batch, Progress
from hessbit.quant.capture import capture
from hessbit.quant.graph import FloatGraph, forward, layer_names, parameters
from hessbit.quant.store import read_json

FORMAT = "hessbit-curvature"
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Trace of one Hessian block, its standard error, the probes behind it, the block's size."""

    trace: float
    stderr: float
    probes: int
    size: int

    @property
    def average(self) -> float:
        """Trace divided by the size: the average eigenvalue."""
        return self.trace / self.size


@dataclass(frozen=True, kw_only=True)
class CurvatureReport:
    """Traces of all layers' weights and of all stored activations (per image)."""

    layers: dict[str, Trace]
    activations: dict[str, Trace]
    images: int
    seconds: float

    def save(self, path: str | Path) -> None:
        """Write the curvature JSON."""
        write_json(path, {"format": FORMAT, "version": 1, **asdict(self)})

    @staticmethod
    def load(path: str | Path) -> CurvatureReport:
        """Read the curvature JSON.

        Raises
        ------
        ArtifactError
            When the file is missing, of another format or malformed.
        """
        data = read_json(path, FORMAT)
        try:
            tables = [
                {name: Trace(**entry) for name, entry in data[key].items()}
                for key in ("layers", "activations")
            ]
            return CurvatureReport(
                layers=tables[0],
                activations=tables[1],
                images=data["images"],
                seconds=data["seconds"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path} is malformed: {error}") from error


OPERATORS = ("hessian", "gauss-newton")


def check_operator(operator: str) -> None:
    """Raise ConfigError for an operator that is not one of `OPERATORS`."""
    if operator not in OPERATORS:
        raise ConfigError(f"operator {operator!r}; choose from {', '.join(OPERATORS)}")


def loss_of(
    batch: Batch, run: Callable[[torch.Tensor], torch.Tensor], loss: Loss | None, raw: bool = False
) -> torch.Tensor:
    """Mean loss of a batch; without labels, cross-entropy against the network's own output.

    With ``raw`` the network's output itself.
    """
    if raw:
        return run(batch if isinstance(batch, torch.Tensor) else batch[0])
    if isinstance(batch, torch.Tensor) or len(batch) == 1:
        out = run(batch if isinstance(batch, torch.Tensor) else batch[0])
        return F.cross_entropy(out, torch.softmax(out.detach(), 1))
    out = run(batch[0])
    return (loss or F.cross_entropy)(out, batch[1])


def count(batch: Batch) -> int:
    """Images of a batch."""
    return len(batch) if isinstance(batch, torch.Tensor) else len(batch[0])


def rademacher(like: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Random signs of the shape and type of ``like``."""
    return torch.randint(0, 2, like.shape, generator=rng).to(like.dtype) * 2 - 1


def products(
    loss: torch.Tensor, variables: Sequence[torch.Tensor], vectors: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """The Hessian-vector product of ``loss`` with the concatenated ``vectors``, block by block."""
    grads = torch.autograd.grad(loss, variables, create_graph=True, materialize_grads=True)
    inner = torch.stack([(g * v).sum() for g, v in zip(grads, vectors, strict=True)]).sum()
    if not inner.requires_grad:  # the loss is linear in all variables
        return [torch.zeros_like(v) for v in variables]
    return list(torch.autograd.grad(inner, variables, materialize_grads=True))


def operator_products(
    operator: str,
    batch: Batch,
    out: torch.Tensor,
    loss: Loss | None,
    variables: Sequence[torch.Tensor],
    vectors: Sequence[torch.Tensor],
) -> list[torch.Tensor]:
    """Product of the Hessian or of the Gauss-Newton matrix ``J' H_out J`` at the output ``out``."""
    if operator == "hessian":
        return products(loss_of(batch, lambda x: out, loss), variables, vectors)
    u = torch.zeros_like(out, requires_grad=True)  # J v is the derivative of J'u with respect to u
    back = torch.autograd.grad(out, variables, u, create_graph=True, materialize_grads=True)
    jv = torch.autograd.grad(back, u, list(vectors), retain_graph=True)[0]
    z = out.detach().requires_grad_()
    hjv = products(loss_of(batch, lambda x: z, loss), [z], [jv])[0]
    return list(torch.autograd.grad(out, variables, hjv, retain_graph=True, materialize_grads=True))


def _probe(
    graph: FloatGraph, batch: Batch, rng: torch.Generator, activations: bool, loss: Loss | None
) -> dict[str, float]:
    """One probe on one batch: ``v_i . (H v)_i`` of every layer and, per image, of every tensor."""
    params = parameters(graph)
    variables = {n: params[f"{n}.weight"].requires_grad_() for n in layer_names(graph)}
    taps: dict[str, torch.Tensor] = {}

    def hook(name: str, value: torch.Tensor) -> torch.Tensor:
        if activations and name != graph.output:
            taps[name] = torch.zeros_like(value, requires_grad=True)
            return value + taps[name]
        return value

    value = loss_of(batch, lambda x: forward(graph, x, params, hook), loss)
    if not bool(torch.isfinite(value)):
        raise ModelError("the loss is NaN or infinite on the given images")
    variables.update({f"@{n}": t for n, t in taps.items()})
    names, blocks = list(variables), list(variables.values())
    # Weights and activations take turns: a joint probe would add their cross terms to the noise.
    out: dict[str, float] = {}
    groups = [[i for i, n in enumerate(names) if n.startswith("@") == a] for a in (False, True)]
    grads = torch.autograd.grad(value, blocks, create_graph=True, materialize_grads=True)
    for group in groups:
        if not group:
            continue
        vectors = [rademacher(blocks[i], rng) for i in group]
        inner = torch.stack(
            [(grads[i] * v).sum() for i, v in zip(group, vectors, strict=True)]
        ).sum()
        hv: Sequence[torch.Tensor] = [torch.zeros_like(v) for v in vectors]
        if inner.requires_grad:
            hv = torch.autograd.grad(
                inner, [blocks[i] for i in group], retain_graph=True, materialize_grads=True
            )
        for i, v, h in zip(group, vectors, hv, strict=True):
            out[names[i]] = float((v.double() * h.double()).sum())
    return out


def analyze(
    graph_or_model: FloatGraph | nn.Module,
    batches: Iterable[Batch],
    *,
    loss: Loss | None = None,
    min_probes: int = 10,
    max_probes: int = 20,
    tolerance: float = 0.1,
    seed: int = 0,
    activations: bool = True,
    progress: Progress | None = None,
) -> CurvatureReport:
    """Estimate the Hessian trace of every layer and every stored activation tensor.

    Parameters
    ----------
    graph_or_model : FloatGraph or nn.Module
        A module is captured first; batch norm is folded either way, so the Hessian is that of the
        weights that are quantised.
    batches : iterable
        Of ``(x, y)``, or of ``x`` (loss against the network's own output). Smaller batches cost
        the same and give less noise; 16 to 32 images are good.
    loss : callable, optional
        ``loss(output, y) -> scalar``, a mean over images; cross-entropy by default.
    min_probes, max_probes : int
        Passes over the data; each is one probe for each batch.
    tolerance : float
        Relative standard error below which a layer is settled; layers whose trace is below 1e-4 of
        the largest count against that instead. Activations are not waited for.
    seed : int
    activations : bool
        Also probe the activations.
    progress : callable, optional
        Called as ``progress(text, fraction)``.

    Returns
    -------
    CurvatureReport

    Raises
    ------
    ConfigError
        For probe counts or a tolerance out of range.
    ModelError
        Without batches, or when the loss is not finite.
    """
    if not (2 <= min_probes <= max_probes and tolerance > 0):
        raise ConfigError("need 2 <= min_probes <= max_probes and tolerance > 0")
    data = list(batches)
    if not data:
        raise ModelError("no batches for the curvature; give at least one")
    if isinstance(graph_or_model, nn.Module):
        first = data[0] if isinstance(data[0], torch.Tensor) else data[0][0]
        graph = capture(graph_or_model, first[:1])
    else:
        graph = graph_or_model
    start, rng = time.perf_counter(), torch.Generator().manual_seed(seed)
    images = sum(count(b) for b in data)
    passes: dict[str, list[float]] = {}
    done = 0
    while done < max_probes:
        total: dict[str, float] = {}
        for index, batch in enumerate(data):
            for name, value in _probe(graph, batch, rng, activations, loss).items():
                # loss = mean over images: an activation's Hessian is 1/N of the image's own
                total[name] = total.get(name, 0.0) + value * count(batch) / images
            if progress:
                progress(f"pass {done + 1}", (done + (index + 1) / len(data)) / max_probes)
        for name, value in total.items():
            passes.setdefault(name, []).append(value)
        done += 1
        if done >= min_probes and _settled(passes, tolerance):
            break
    if progress:
        progress(f"{done} passes", 1.0)
    sizes = {r.name: r.weight.size for r in graph.layers if r.weight is not None}
    shapes = {"input": graph.in_shape, **{r.name: r.out_shape for r in graph.regions}}
    sizes |= {f"@{n}": int(np.prod(shape)) for n, shape in shapes.items()}
    traces = {
        name: Trace(
            trace=float(np.mean(v)),
            stderr=float(np.std(v, ddof=1) / np.sqrt(done)),
            probes=done,
            size=sizes[name],
        )
        for name, v in passes.items()
    }
    return CurvatureReport(
        layers={n: t for n, t in traces.items() if not n.startswith("@")},
        activations={n[1:]: t for n, t in traces.items() if n.startswith("@")},
        images=images,
        seconds=time.perf_counter() - start,
    )


def _settled(passes: dict[str, list[float]], tolerance: float) -> bool:
    values = {n: np.asarray(v) for n, v in passes.items() if not n.startswith("@")}
    largest = max(abs(v.mean()) for v in values.values())
    return all(
        v.std(ddof=1) / np.sqrt(len(v)) <= tolerance * max(abs(v.mean()), 1e-4 * largest)
        for v in values.values()
    )


@dataclass(frozen=True)
class Eigenvalue:
    """The eigenvalue of largest magnitude, with its sign, and the residual ``|H v - value v|``."""

    value: float
    residual: float
    iterations: int


def top_eigenvalue(
    graph: FloatGraph,
    batches: Iterable[Batch],
    layer: str,
    *,
    loss: Loss | None = None,
    iterations: int = 30,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> Eigenvalue:
    """Power iteration on one layer's Hessian block.

    Parameters
    ----------
    layer : str
        A convolution or linear layer.
    iterations : int
        At most; stops when the residual is below ``tolerance`` times the value's magnitude.

    Returns
    -------
    Eigenvalue

    Raises
    ------
    ModelError
        For an unknown layer or without batches.
    """
    if layer not in layer_names(graph):
        graph.region(layer)
        raise ModelError(f"{layer} has no weights")
    data = list(batches)
    images = sum(count(b) for b in data)
    if not images:
        raise ModelError("no batches for the curvature; give at least one")
    params: dict[str, Any] = parameters(graph)
    weight = params[f"{layer}.weight"].requires_grad_()
    v = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    v /= v.norm()
    result = Eigenvalue(0.0, float("inf"), 0)
    for step in range(iterations):
        hv = torch.zeros_like(v)
        for batch in data:
            value = loss_of(batch, lambda x: forward(graph, x, params), loss)
            hv += products(value, [weight], [v])[0] * (count(batch) / images)
        eigenvalue = float((v * hv).sum())
        residual = float((hv - eigenvalue * v).norm())
        result = Eigenvalue(eigenvalue, residual, step + 1)
        if residual <= tolerance * abs(eigenvalue) or float(hv.norm()) == 0.0:
            break
        v = hv / hv.norm()
    return result
