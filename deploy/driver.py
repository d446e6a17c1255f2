"""The driver: runs a compiled model on an overlay through PYNQ's interface alone.

>>> from hessbit.deploy import Accelerator, Artifact, simulated_board
>>> artifact = Artifact.load("resnet8.hbit")                         # doctest: +SKIP
>>> accelerator = Accelerator(simulated_board(artifact.config), artifact)  # doctest: +SKIP
>>> outputs = accelerator.run(images)                                # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hessbit.deploy.artifact import Artifact
from hessbit.deploy.board import Board
from hessbit.errors import DeployError, HessbitError, ShapeError
from hessbit.hw.isa import (
    ID_VALUE,
    ISA_VERSION,
    LOG_ENTRIES,
    LOG_OFFSET,
    REGISTERS,
    Engine,
    ErrorCode,
)

Bytes = NDArray[np.uint8]
T = TypeVar("T")

_OFFSET = {r.name: r.offset for r in REGISTERS}
_START, _SOFT_RESET = 1, 2
_BUSY, _DONE, _ERROR = 1, 2, 4  # STATUS
_RESET_S = 1.0
_IRQ_ALL = 3

_ADVICE = {
    ErrorCode.ILLEGAL_OPCODE: "the program in memory is damaged; load the artifact again",
    ErrorCode.ISA_VERSION: "compile the model with the release that the bitstream was built from",
    ErrorCode.AXI_READ: "a read from DDR was refused; check the memory map and that buffers were "
    "allocated on this board",
    ErrorCode.AXI_WRITE: "a write to DDR was refused; check the memory map and that buffers were "
    "allocated on this board",
    ErrorCode.WATCHDOG: "no progress: check that the memory port and its clock are enabled, then "
    "reload the bitstream",
    ErrorCode.NO_END: "the program has no END; compile the model again",
}


@dataclass(frozen=True, kw_only=True)
class EngineCounters:
    """Cycles of one engine in a run, and the instructions it completed."""

    busy: int
    wait: int
    stall_in: int
    stall_out: int
    done: int


@dataclass(frozen=True, kw_only=True)
class LayerTiming:
    """When an instruction's last effect was visible.

    Attributes
    ----------
    layer : int
        Layer number of the instruction.
    engine : str
        REQUANT or STORE.
    end_cycle : int
        Cycle of the completion, counted from the start.
    cycles : int
        Cycles since the completion before it in the log.
    """

    layer: int
    engine: str
    end_cycle: int
    cycles: int


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What the overlay counted in its last run.

    Attributes
    ----------
    cycles : int
        From start to done.
    latency_ms : float
        ``cycles`` at the configuration's clock.
    instructions : int
        Instructions dispatched.
    read_bytes, write_bytes : int
        DDR traffic.
    engines : dict of EngineCounters
        By engine name.
    layers : tuple of LayerTiming
        In the order of completion; at most 256.
    """

    cycles: int
    latency_ms: float
    instructions: int
    read_bytes: int
    write_bytes: int
    engines: dict[str, EngineCounters]
    layers: tuple[LayerTiming, ...]

    def layer_cycles(self) -> dict[int, int]:
        """Cycles by layer number: from the completion before it in the log to its last one."""
        total: dict[int, int] = {}
        for entry in self.layers:
            total[entry.layer] = total.get(entry.layer, 0) + entry.cycles
        return total


class Accelerator:
    """A model loaded on a board, ready to run.

    Parameters
    ----------
    board : Board
        A real one (:func:`open_board`) or a simulated one (:func:`simulated_board`).
    artifact : Artifact
        Compiled for the configuration of the board's bitstream.
    timeout_s : float, optional
        Longest wait for one inference; by default the board's.
    watchdog_cycles : int
        The overlay stops with an error after this many cycles without progress; 0 is off.

    Raises
    ------
    DeployError
        When no overlay answers, or it is of another ISA version or configuration.
    """

    def __init__(
        self,
        board: Board,
        artifact: Artifact,
        *,
        timeout_s: float | None = None,
        watchdog_cycles: int = 1_000_000,
    ) -> None:
        self.board, self.artifact = board, artifact
        self._timeout_s = board.timeout_s if timeout_s is None else timeout_s
        self._watchdog = watchdog_cycles
        self._check_overlay()
        self._program = self._buffer(artifact.program)
        self._model = self._buffer(artifact.model)
        self._input = self._buffer(np.zeros(artifact.input.bytes, np.uint8))
        self._output = self._buffer(np.zeros(artifact.output.bytes, np.uint8))
        self.reset()

    def run(self, images: Bytes) -> Bytes:
        """Run images one after another.

        Parameters
        ----------
        images : uint8, shape (n, h, w, c) or (h, w, c)
            Stored values of the input, as the artifact's input tensor describes.

        Returns
        -------
        uint8, shape (n, h, w, c) or (h, w, c)
            Stored values of the output; :meth:`Artifact.dequantize` makes them real.

        Raises
        ------
        ShapeError
            When ``images`` have another shape or type.
        DeployError
            When the overlay reports an error or does not finish; it is reset and can be used again.
        """
        info = self.artifact.input
        shape = (info.h, info.w, info.c)
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-3:] != shape:
            raise ShapeError(
                f"input {info.name!r} is uint8 of shape {shape} or (n, *{shape}), "
                f"not {images.dtype} of shape {images.shape}"
            )
        out = self.artifact.output
        batch = images.reshape(-1, *shape)
        results = np.empty((len(batch), out.h, out.w, out.c), np.uint8)
        for i, image in enumerate(batch):
            results[i] = self._infer(image)
        return results if images.ndim == 4 else results[0]

    def self_test(self) -> RunReport:
        """Run the golden input; DeployError when the output differs from the golden one."""
        expected = self.artifact.golden_output
        got = self.run(self.artifact.golden_input)
        wrong = np.argwhere(got != expected)
        if len(wrong):
            at = tuple(int(i) for i in wrong[0])
            raise DeployError(
                f"self-test on {self.board.name} failed: {len(wrong)} of {got.size} outputs are "
                f"wrong, first at {at}: {got[at]}, expected {expected[at]}; "
                "reload the bitstream, check its clock"
            )
        return self.report()

    def report(self) -> RunReport:
        """Counters and log of the last run."""
        engines = {}
        for e in Engine:
            engines[e.name] = EngineCounters(
                busy=self._read(f"{e.name}_BUSY"),
                wait=self._read(f"{e.name}_WAIT"),
                stall_in=self._read(f"{e.name}_STALL_IN"),
                stall_out=self._read(f"{e.name}_STALL_OUT"),
                done=self._read(f"{e.name}_DONE"),
            )
        layers, last = [], 0
        for i in range(min(self._read("LOG_COUNT"), LOG_ENTRIES)):
            cycle, word = self._read_at(LOG_OFFSET + 8 * i), self._read_at(LOG_OFFSET + 8 * i + 4)
            layers.append(
                LayerTiming(
                    layer=word & 0xFFFF,
                    engine=Engine(word >> 16).name,
                    end_cycle=cycle,
                    cycles=cycle - last,
                )
            )
            last = cycle
        cycles = self._read("CYCLES")
        return RunReport(
            cycles=cycles,
            latency_ms=cycles / (self.artifact.config.clk_mhz * 1000),
            instructions=self._read("DISPATCHED"),
            read_bytes=8 * self._read("READ_BEATS"),
            write_bytes=8 * self._read("WRITE_BEATS"),
            engines=engines,
            layers=tuple(layers),
        )

    def reset(self) -> None:
        """Soft reset: engines, errors and counters; the model stays loaded.

        Raises
        ------
        DeployError
            When the overlay's memory port still waits for answers after a second.
        """
        self._write("CTRL", _SOFT_RESET)
        self._set_up()
        until = time.monotonic() + _RESET_S
        while self._read("STATUS") & _BUSY:
            if time.monotonic() > until:
                raise DeployError(
                    f"{self.board.name} does not come out of reset: DDR owes it answers; "
                    "reload the bitstream"
                )

    # ---- inside

    def _check_overlay(self) -> None:
        name, config = self.board.name, self.artifact.config
        ident = self._read("ID")
        if ident != ID_VALUE:
            raise DeployError(
                f"no hessbit overlay on {name}: ID reads 0x{ident:08x}, not 0x{ID_VALUE:08x}; "
                "load the bitstream, check the base address"
            )
        version = self._read("VERSION")
        if version != ISA_VERSION:
            raise DeployError(
                f"the overlay on {name} has ISA version {version}, this release {ISA_VERSION}; "
                "use the bitstream of this release"
            )
        have = self._read("CFG_HASH_HI") << 32 | self._read("CFG_HASH_LO")
        if have != config.hash:
            raise DeployError(
                f"the overlay on {name} has configuration {have:016x}, the artifact is for "
                f"{config.name!r} ({config.hash:016x}); compile for the bitstream's configuration"
            )

    def _buffer(self, data: Bytes) -> Any:
        size = max(8, -(-data.size // 8) * 8)
        try:
            buffer = self.board.allocate((size,), np.uint8)
        except (MemoryError, RuntimeError, OSError) as error:
            raise DeployError(
                f"cannot allocate {size} bytes on {self.board.name}: {error}"
            ) from None
        buffer[:] = 0
        buffer[: data.size] = data
        buffer.sync_to_device()
        return buffer

    def _set_up(self) -> None:
        for name, buffer in (
            ("PROG", self._program),
            ("MODEL", self._model),
            ("INPUT", self._input),
            ("OUTPUT", self._output),
        ):
            address = int(buffer.device_address)
            self._write(f"{name}_LO", address & 0xFFFFFFFF)
            self._write(f"{name}_HI", address >> 32)
        self._write("PROG_LEN", self.artifact.n_instructions)
        self._write("WATCHDOG", self._watchdog)
        self._write("IRQ_STATUS", _IRQ_ALL)
        self._write("IRQ_ENABLE", _IRQ_ALL)

    def _infer(self, image: Bytes) -> Bytes:
        self._input[: image.size] = image.reshape(-1)
        self._input.sync_to_device()
        self._write("IRQ_STATUS", _IRQ_ALL)
        self._write("CTRL", _START)
        self._wait()
        self._output.sync_from_device()
        return self.artifact.crop_output(bytes(self._output))

    def _wait(self) -> None:
        until = time.monotonic() + self._timeout_s
        while True:
            status = self._read("STATUS")
            if status & _ERROR:
                raise self._error(status >> 8 & 0xFF)
            if status & _DONE:
                return
            if time.monotonic() > until:
                dispatched = self._read("DISPATCHED")
                self._recover()
                raise DeployError(
                    f"{self.board.name} did not finish within {self._timeout_s:g} s "
                    f"({dispatched} of {self.artifact.n_instructions} instructions dispatched); "
                    "check clock and memory port, or allow more time"
                )

    def _error(self, code: int) -> DeployError:
        at = self._read("ERROR_INFO") & 0xFFFF
        try:
            name, advice = ErrorCode(code).name, _ADVICE[ErrorCode(code)]
        except (ValueError, KeyError):
            name, advice = "unknown", "reload the bitstream"
        self._recover()
        return DeployError(
            f"{self.board.name} stopped with error {code} ({name}) after {at} of "
            f"{self.artifact.n_instructions} instructions: {advice}"
        )

    def _recover(self) -> None:
        """Reset after a failure that is about to be reported; a second one would only hide it."""
        with contextlib.suppress(DeployError):
            self.reset()

    def _read(self, name: str) -> int:
        return self._read_at(_OFFSET[name])

    def _read_at(self, offset: int) -> int:
        return self._guard(lambda: int(self.board.registers.read(offset)))

    def _write(self, name: str, value: int) -> None:
        self._guard(lambda: self.board.registers.write(_OFFSET[name], int(value)))

    def _guard(self, access: Callable[[], T]) -> T:
        try:
            return access()
        except HessbitError as error:
            raise DeployError(f"{self.board.name}: {error}") from None
        except (OSError, RuntimeError, MemoryError) as error:
            raise DeployError(f"{self.board.name} does not answer: {error}") from None
