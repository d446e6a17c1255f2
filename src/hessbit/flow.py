"""Steps of the main job that join the rooms: cycles for the allocator, ONNX runs, accuracy, levels."""

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
    from hessbit.quant import QuantizedModel
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
    parts = [session.run(None, {"input_q": images[i : i + batch]})[0] for i in range(0, len(images), batch)]
    return np.asarray(np.concatenate(parts), np.uint8)


def run_qdq_onnx(path: str | Path, images: Bytes, model: QuantizedModel, batch: int = 100) -> NDArray[np.int64]:
    """Output of a QDQ ONNX file, brought back to the integers that its last scale stands for."""
    session = _session(path)
    q_in, q_out = model.qtensors["input"], model.qtensors[model.output]
    parts = []
    for i in range(0, len(images), batch):
        x = (images[i : i + batch].transpose(0, 3, 1, 2).astype(np.float32) - q_in.zero_point) * np.float32(q_in.scale)
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
    workers : int
        Processes that shared the images.
    """

    outputs: Bytes
    cycles: list[int]
    report: RunReport
    seconds: float
    workers: int


def check_images(artifact: Artifact, images: NDArray[Any], source: object) -> None:
    """Raise ShapeError unless ``images`` are uint8 ``(N, H, W, C)`` of the artifact's input shape."""
    info = artifact.input
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (info.h, info.w, info.c):
        raise ShapeError(
            f"images are {images.dtype} {images.shape}; {source} takes uint8 (N, {info.h}, {info.w}, {info.c})"
        )


def ddr_model(*, stalls: int | None = None) -> DdrModel:
    """The default DDR, or with a seed one whose channels pause in 30 % of the cycles."""
    from hessbit.sim.rtl import DdrModel

    return DdrModel() if stalls is None else DdrModel(stall_percent=30, seed=stalls)


def reference(path: str | Path, images: Bytes) -> Bytes:
    """Outputs ``(N, K)`` of the integer model in a ``.hbq`` file."""
    from hessbit import quant

    return quant.load(path).run(images)


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


def _work(images: Bytes) -> tuple[Bytes, list[int], RunReport]:
    outputs, cycles = [], []
    for image in images:
        outputs.append(_accelerator.run(image))
        report = _accelerator.report()
        cycles.append(report.cycles)
    return np.stack(outputs), cycles, report


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
    parts: dict[int, tuple[Bytes, list[int], RunReport]] = {}
    begin = time.monotonic()
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start_worker, initargs=(str(path), ddr or DdrModel(), trace)
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
    return RtlRun(
        outputs=np.concatenate([parts[s][0] for s in starts]),
        cycles=[c for s in starts for c in parts[s][1]],
        report=parts[0][2],
        seconds=time.monotonic() - begin,
        workers=workers,
    )
