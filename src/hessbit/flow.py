"""Steps that join the rooms: cycles for the allocator, ONNX runs, accuracy, simulation."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hessbit.errors import ModelError, ShapeError

if TYPE_CHECKING:
    from hessbit.deploy.artifact import Artifact
    from hessbit.deploy.board import Board
    from hessbit.deploy.driver import RunReport
    from hessbit.hw.config import AcceleratorConfig
    from hessbit.quant import FloatGraph, QuantizedModel
    from hessbit.sim.rtl import DdrModel

Bytes = NDArray[np.uint8]


def accuracy(outputs: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Share of ``labels`` that the largest of ``outputs`` (N, K) names, in per cent."""
    return 100.0 * float(np.mean(outputs.reshape(len(outputs), -1).argmax(1) == labels))


def _session(path: str | Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # On x86 without VNNI onnxruntime's own 8-bit kernels saturate unless this is set.
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises types of its own
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"onnxruntime cannot load {path}: {line}") from error


def run_integer_onnx(path: str | Path, images: Bytes, batch: int = 100) -> Bytes:
    """Output integers of an integer ONNX file for images uint8 ``(N, H, W, C)``."""
    session = _session(path)
    parts = [
        session.run(None, {"input_q": images[i : i + batch]})[0]
        for i in range(0, len(images), batch)
    ]
    return np.asarray(np.concatenate(parts), np.uint8)


def run_qdq_onnx(
    path: str | Path, images: Bytes, model: QuantizedModel, batch: int = 100
) -> NDArray[np.int64]:
    """Output of a QDQ ONNX file, brought back to the integers that its last scale stands for."""
    session = _session(path)
    q_in, q_out = model.qtensors["input"], model.qtensors[model.output]
    parts = []
    for i in range(0, len(images), batch):
        x = (
            images[i : i + batch].transpose(0, 3, 1, 2).astype(np.float32) - q_in.zero_point
        ) * np.float32(q_in.scale)
        parts.append(session.run(None, {"input": np.ascontiguousarray(x)})[0])
    real = np.concatenate(parts).astype(np.float64)
    return np.asarray(np.rint(real / q_out.scale), np.int64) + q_out.zero_point


@dataclass(frozen=True, kw_only=True)
class RtlRun:
    """What the RTL answered.

    Attributes
    ----------
    outputs : uint8, shape (N, h, w, c)
    cycles : list of int
        From start to done, per image.
    report : RunReport
        Counters and log of the last image of the first worker.
    seconds : float
        Wall-clock time, without building the simulator.
    busy_seconds : float
        Processor time spent simulating, summed over the processes.
    workers : int
        Processes that shared the images.
    """

    outputs: Bytes
    cycles: list[int]
    report: RunReport
    seconds: float
    busy_seconds: float
    workers: int


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer of a compiled network.

    ``weight_bits`` is None for pools. ``cycles`` are those of the RTL, from the last result of the
    layer before to its own; ``utilisation`` is the share of the array's binary products in these
    cycles that the layer needs.
    """

    name: str
    weight_bits: int | None
    act_bits: int
    predicted: int
    cycles: int
    utilisation: float


def compile_onnx(path: str | Path, config: AcceleratorConfig) -> Artifact:
    """Compile a QDQ ONNX file; see `hessbit.hw.compiler.compile_model`."""
    from hessbit.hw.compiler import compile_model

    return compile_model(path, config)


def cycle_table(graph: FloatGraph, config: AcceleratorConfig) -> dict[tuple[str, int, int], int]:
    """Predicted cycles of every layer at every pair of weight and activation bits.

    The first layer's entries carry what no bits change (start, image, pools, output) as well, so
    that the sum over the layers is a whole run and a budget means end to end.
    """
    from math import prod

    from hessbit import quant
    from hessbit.hw import cost

    table = cost.cycle_table(config, quant.geometry(graph))
    out = graph.region(graph.output).out_shape
    outside = cost.outside_cycles(
        config,
        image_bytes=prod(graph.in_shape),
        pools=[
            (prod(r.out_shape[1:]), r.out_shape[0], prod(r.kernel))
            for r in graph.regions
            if not r.is_layer
        ],
        output=(prod(out[1:]), out[0]),
    )
    first = graph.layers[0].name
    return {k: v + outside * (k[0] == first) for k, v in table.items()}


def build_rtl(config: AcceleratorConfig) -> Path:
    """Build the simulator of ``config``, or find it in the cache."""
    from hessbit.sim.rtl import build_model

    return build_model(config)


def compare_layers(artifact: Artifact, counted: dict[int, int] | None = None) -> list[LayerRow]:
    """Every layer with its predicted and its counted cycles.

    Parameters
    ----------
    artifact : Artifact
    counted : dict, optional
        `RunReport.layer_cycles` of a run; without it the predicted ones stand for both.
    """
    config = artifact.config
    peak = config.dm * config.dn * config.k  # binary products a cycle
    rows = []
    for entry in artifact.manifest["layers"]:
        cycles = entry["cycles"] if counted is None else counted.get(entry["index"], 0)
        rows.append(
            LayerRow(
                name=entry["name"],
                weight_bits=entry.get("weight_bits"),
                act_bits=entry["act_bits"],
                predicted=entry["cycles"],
                cycles=cycles,
                utilisation=entry["binary_ops"] / (peak * max(cycles, 1)),
            )
        )
    return rows


def run_float(model: Any, x: Any) -> NDArray[np.float32]:
    """Outputs ``(N, K)`` of a torch network for float images ``(N, C, H, W)``."""
    import torch

    with torch.no_grad():
        return np.asarray(torch.cat([model(part) for part in x.split(100)]).numpy(), np.float32)


def check_images(artifact: Artifact, images: NDArray[Any], source: object) -> None:
    """Raise ShapeError unless ``images`` are uint8 ``(N, H, W, C)`` of the artifact's input."""
    info = artifact.input
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (info.h, info.w, info.c):
        raise ShapeError(
            f"images are {images.dtype} {images.shape}; {source} takes uint8 "
            f"(N, {info.h}, {info.w}, {info.c})"
        )


def ddr_model(*, stalls: int | None = None) -> DdrModel:
    """The default DDR, or with a seed one whose channels pause in 30 % of the cycles."""
    from hessbit.sim.rtl import DdrModel

    return DdrModel() if stalls is None else DdrModel(stall_percent=30, seed=stalls)


def reference(path: str | Path, images: Bytes) -> Bytes:
    """Outputs ``(N, K)`` of the integer model in a ``.hbq`` file."""
    from hessbit import quant

    return quant.load(path).run(images)


def run_instructions(
    artifact: Artifact, images: Bytes, progress: Callable[[str, float], None] | None = None
) -> Bytes:
    """Outputs ``(N, h, w, c)`` of the instruction-level simulator."""
    from hessbit.sim import instruction

    parts = []
    for i, image in enumerate(images):
        parts.append(instruction.run(artifact, image[None]))
        if progress is not None:
            progress(f"image {i + 1}", (i + 1) / len(images))
    return np.concatenate(parts)


def faulty_board(config: AcceleratorConfig, fault: str) -> Board:
    """A simulated board whose bus answers with errors (``error``) or never (``dead``)."""
    from hessbit.deploy.simulated import board_of
    from hessbit.sim.rtl import RtlSimulator

    sim = RtlSimulator(config)
    if fault == "dead":
        sim.inject(dead=True)
    else:
        sim.inject(error_at=(sim.memory_base, sim.memory_base + sim.memory.size))
    return board_of(sim)


_accelerator: Any = None  # of a worker process


def _start_worker(path: str, ddr: DdrModel, trace: Path | None = None) -> None:
    global _accelerator  # noqa: PLW0603 (one accelerator for the life of a worker process)
    from hessbit.deploy import Accelerator, Artifact, simulated_board

    artifact = Artifact.load(path)
    _accelerator = Accelerator(simulated_board(artifact.config, ddr=ddr, trace=trace), artifact)


def _work(images: Bytes) -> tuple[Bytes, list[int], RunReport, float]:
    outputs, cycles, start = [], [], time.process_time()
    for image in images:
        outputs.append(_accelerator.run(image))
        report = _accelerator.report()
        cycles.append(report.cycles)
    return np.stack(outputs), cycles, report, time.process_time() - start


def _stop_worker() -> None:
    global _accelerator  # noqa: PLW0603 (as above)
    _accelerator = None


def _gathered(
    parts: dict[int, tuple[Bytes, list[int], RunReport, float]], begin: float, workers: int
) -> RtlRun:
    """One result from the parts, by the index of their first image."""
    order = sorted(parts)
    return RtlRun(
        outputs=np.concatenate([parts[s][0] for s in order]),
        cycles=[c for s in order for c in parts[s][1]],
        report=parts[0][2],
        seconds=time.monotonic() - begin,
        busy_seconds=sum(p[3] for p in parts.values()),
        workers=workers,
    )


def run_rtl(
    path: str | Path,
    images: Bytes,
    *,
    ddr: DdrModel | None = None,
    workers: int | None = None,
    trace: Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> RtlRun:
    """Run images on the Verilated overlay through the driver, in parallel processes.

    Parameters
    ----------
    path : path
        The artifact.
    images : uint8, shape (N, H, W, C)
    ddr : DdrModel, optional
    workers : int, optional
        Processes; by default one for each core, at most one for each image.
    trace : path, optional
        Write an FST waveform; one process then.
    progress : callable, optional

    Raises
    ------
    ArtifactError, SimulationError, DeployError, ShapeError
        From loading, building and running.
    """
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    from hessbit.deploy import Artifact
    from hessbit.sim.rtl import DdrModel, build_model

    artifact = Artifact.load(path)
    check_images(artifact, images, path)
    build_model(artifact.config, trace=trace is not None)  # once, before the workers
    if trace is not None:
        workers = 1
    workers = max(1, min(workers or os.cpu_count() or 1, len(images)))
    size = max(1, min(8, len(images) // (4 * workers)))
    starts = list(range(0, len(images), size))
    parts: dict[int, tuple[Bytes, list[int], RunReport, float]] = {}
    begin = time.monotonic()
    if workers == 1:  # in this process: no need of a main guard in scripts
        _start_worker(str(path), ddr or DdrModel(), trace)
        for s in starts:
            parts[s] = _work(images[s : s + size])
            if progress is not None:
                progress(f"{min(s + size, len(images))} images", len(parts) / len(starts))
        _stop_worker()
        return _gathered(parts, begin, workers)
    with ProcessPoolExecutor(
        workers,
        get_context("spawn"),
        initializer=_start_worker,
        initargs=(str(path), ddr or DdrModel(), trace),
    ) as pool:
        jobs = {pool.submit(_work, images[s : s + size]): s for s in starts}
        try:
            for done in as_completed(jobs):
                parts[jobs[done]] = done.result()
                if progress is not None:
                    progress(f"{len(parts) * size} images", len(parts) / len(starts))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return _gathered(parts, begin, workers)
