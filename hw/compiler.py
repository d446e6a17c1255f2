"""From a QDQ ONNX file to an artifact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hessbit
from hessbit.deploy.artifact import Artifact
from hessbit.errors import ShapeError
from hessbit.hw import cost
from hessbit.hw.config import AcceleratorConfig
from hessbit.hw.emit import Program, generate
from hessbit.hw.frontend import load_onnx
from hessbit.hw.ir import Compute, Conv, Graph, Tensor, dilation_of, kernel_of
from hessbit.hw.isa import ISA_VERSION
from hessbit.hw.passes import run_passes
from hessbit.hw.plan import Place, allocate, lanes_of
from hessbit.sim.reference import run as run_reference


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A compiled network with everything the compiler knew."""

    graph: Graph
    config: AcceleratorConfig
    places: dict[str, Place]
    program: Program
    costs: list[cost.LayerCost]
    artifact: Artifact


def load_graph(path: str | Path) -> Graph:
    """The verified IR of a QDQ ONNX file, ready for the reference executor or the compiler.

    Raises
    ------
    ModelError, UnsupportedError, NumericsError
        See :func:`hessbit.hw.frontend.load_onnx`.
    """
    return run_passes(load_onnx(path))


def compile_model(
    path: str | Path,
    config: AcceleratorConfig,
    *,
    golden_input: NDArray[np.uint8] | None = None,
    bands: bool = True,
) -> Artifact:
    """Compile a QDQ ONNX file.

    Parameters
    ----------
    path : path
    config : AcceleratorConfig
    golden_input : uint8, shape (h, w, c), optional
        Input of the self-test stored in the artifact; random (with a fixed seed) by default.
    bands : bool
        Split layers so that consecutive ones overlap.

    Returns
    -------
    Artifact

    Raises
    ------
    ModelError, UnsupportedError, NumericsError
        When the model cannot be read or carried.
    InfeasibleError
        Naming the layer and the memory that cannot hold it.
    """
    return compile_graph(load_graph(path), config, golden_input=golden_input, bands=bands).artifact


def compile_graph(
    graph: Graph,
    config: AcceleratorConfig,
    *,
    golden_input: NDArray[np.uint8] | None = None,
    bands: bool = True,
) -> Compiled:
    """Compile a verified graph; parameters and errors as in :func:`compile_model`."""
    x = graph.input
    if golden_input is None:
        rng = np.random.default_rng(0)
        golden_input = rng.integers(0, 1 << x.bits, x.shape, dtype=np.uint8)
    if golden_input.shape != x.shape or golden_input.dtype != np.uint8:
        raise ShapeError(f"the golden input must be uint8 {x.shape}, not {golden_input.shape}")
    places = allocate(graph, config)
    program = generate(graph, config, places, bands=bands)
    costs = cost.predict(graph, config, program)
    code = b"".join(i.encode() for i in program.instructions)
    artifact = Artifact(
        manifest=_manifest(graph, config, places, program, costs),
        program=np.frombuffer(code, np.uint8),
        model=program.model,
        golden_input=golden_input,
        golden_output=run_reference(graph, golden_input)[0],
    )
    return Compiled(
        graph=graph, config=config, places=places, program=program, costs=costs, artifact=artifact
    )


def predict(compiled: Compiled) -> list[cost.LayerCost]:
    """Predicted cost of every layer."""
    return compiled.costs


def _info(graph: Graph, t: Tensor) -> dict[str, Any]:
    return {
        "name": t.name,
        "h": t.h,
        "w": t.w,
        "c": t.c,
        "lanes_c": lanes_of(graph, t),
        "bits": t.bits,
        "scale": float(t.scale),
        "zero_point": t.zero_point,
    }


def _manifest(
    graph: Graph,
    config: AcceleratorConfig,
    places: dict[str, Place],
    program: Program,
    costs: list[cost.LayerCost],
) -> dict[str, Any]:
    cycles = sum(c.cycles for c in costs) + cost.store_cycles(graph)
    return {
        "format": "hessbit-artifact",
        "tool": hessbit.__version__,
        "isa": ISA_VERSION,
        "config": asdict(config) | {"hash": f"{config.hash:016x}"},
        "model": graph.name,
        "input": _info(graph, graph.input),
        "output": _info(graph, graph.output),
        "layers": [
            _layer(graph, program, i, op, c)
            for i, (op, c) in enumerate(zip(graph.compute, costs, strict=True))
        ],
        "tensors": [
            _info(graph, t)
            | {
                "address": places[t.name].address,
                "row_words": places[t.name].row_words,
                "words": places[t.name].words,
            }
            for t in graph.tensors.values()
        ],
        "cycles": cycles,
        "latency_ms": cycles / config.clk_mhz / 1000,
    }


def _layer(
    graph: Graph, program: Program, index: int, op: Compute, c: cost.LayerCost
) -> dict[str, Any]:
    x, y = graph.tensors[op.input], graph.tensors[op.output]
    entry: dict[str, Any] = {
        "index": index,
        "name": op.name,
        "kind": "conv" if isinstance(op, Conv) else f"{op.op} pool",
        "input": op.input,
        "output": op.output,
        "skip": op.skip,
        "in": list(x.shape),
        "out": list(y.shape),
        "kernel": list(kernel_of(op)),
        "stride": list(op.stride),
        "pad": list(op.pad),
        "dilation": list(dilation_of(op)),
        "act_bits": x.bits,
        "out_bits": y.bits,
        "cycles": c.cycles,
        "bound": c.bound,
        "binary_ops": c.binary_ops,
        "utilisation": c.utilisation,
        "instructions": program.layer_instructions.get(index, []),
    }
    if isinstance(op, Conv):
        shape = next(u.shape for u in program.units if u.layer == index)
        assert shape is not None
        entry |= {
            "macs": y.h * y.w * op.weights.size,
            "weights": op.weights.size,
            "weight_bits": op.weight_bits,
            "bipolar": op.bipolar,
            "lane_mode": shape.lane_mode,
            "steps": shape.steps,
        }
    return entry
