"""Instruction-level simulator: runs the bytes of a program on models of the overlay's memories.

It knows the program, the model image and the input bytes, nothing of the network: DDR, activation
store, weight and parameter memory are laid out as in ``docs/microarchitecture.md``. Engines take
their instructions from queues in order, each when its wait counts are met; GATHER, ARRAY, POOL and
REQUANT hand pixels on in chunks through two buffers, the fewest that the hardware has. So a program
that the hardware could not finish deadlocks here too, and with ``order_seed`` the engines run in a
random order among those the waits allow, which a correct program must not notice.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hessbit.deploy.artifact import Artifact
from hessbit.errors import HessbitError, SimulationError
from hessbit.hw.config import AcceleratorConfig
from hessbit.hw.isa import (
    INSTR_BYTES,
    PARAM_BYTES,
    TARGETS,
    Base,
    Engine,
    Instruction,
    LoadKind,
    Opcode,
)
from hessbit.sim.columns import (
    HALF_BIT,
    OFFSET_MASK,
    Bits,
    empty_store,
    gather_columns,
    read_map,
    row_words,
    write_map,
)
from hessbit.sim.units import ParamTable, beat_order, pool_stream, requant_stream

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Observer = Callable[[int, Instruction, Bits], None]

QUEUE_DEPTH = 4
COLUMN_BUFFERS = 2  # tiles (here: chunks) between GATHER and ARRAY
RESULT_BUFFERS = 1  # chunks between ARRAY or POOL and REQUANT


@dataclass
class _Job:
    """An instruction in the hands of one engine, with the pixel ranges still to do."""

    index: int
    instruction: Instruction
    chunks: deque[tuple[int, int]] = field(default_factory=deque)


@dataclass(frozen=True)
class _Chunk:
    """Columns or results of the pixels ``first .. last-1`` of instruction ``index``."""

    index: int
    first: int
    last: int
    data: NDArray[Any]


def decode_weights(
    config: AcceleratorConfig, memory: Bytes, fields: dict[str, int]
) -> NDArray[np.float64]:
    """The signed weights of one CONV as they lie in the weight memory.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the accelerator.
    memory : uint8, shape (WeightRows, Dm * K / 8)
        The weight memory.
    fields : dict
        Fields of the CONV.

    Returns
    -------
    float64, shape (n_groups * Dm, kwords * W)
        Integers; for ``bipolar`` the plane itself, 0 or 1.

    Raises
    ------
    SimulationError
        When the weights end beyond the memory.
    """
    kw, wb, word = fields["kwords"], fields["wb"], config.word
    mode, groups = fields["lane_mode"], fields["n_groups"]
    wide = -(-wb * kw // 2) if mode else wb * -(-kw // 2)
    rows = fields["w_base"] + np.arange(groups)[:, None] * fields["w_stride"] + np.arange(wide)
    if int(rows.max()) >= len(memory):
        raise SimulationError(f"weight word {int(rows.max())} of {len(memory)}")
    bits = np.unpackbits(memory[rows], axis=2, bitorder="little")
    lanes = bits.reshape(groups, wide, config.dm, 2, word).transpose(0, 2, 1, 3, 4)
    if mode:
        flat = lanes.reshape(groups, config.dm, 2 * wide, word)[:, :, : wb * kw]
        planes = flat.reshape(groups * config.dm, wb, kw * word)
    else:
        flat = lanes.reshape(groups, config.dm, wb, -1)[:, :, :, : kw * word]
        planes = flat.reshape(groups * config.dm, wb, kw * word)
    value = np.ldexp(1.0, np.arange(wb))
    if not fields["bipolar"]:
        value[-1] = -value[-1]
    return np.asarray(np.einsum("cpl,p->cl", planes, value), np.float64)


def accumulate(columns: Bits, weights: NDArray[np.float64], *, bipolar: bool) -> Ints:
    """The array's 32-bit sums, (pixels, channels), of column planes (pixels, planes, lanes)."""
    planes = columns.shape[1]
    values = np.einsum("npl,p->nl", columns, np.ldexp(1.0, np.arange(planes)))
    acc = values @ weights.T  # integers far below 2^53: exact
    if bipolar:
        acc = 2 * acc - values.sum(axis=1)[:, None]
    wrapped: Ints = acc.astype(np.int64).astype(np.int32).astype(np.int64)
    return wrapped


class InstructionSimulator:
    """The overlay, instruction by instruction.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the overlay.
    order_seed : int, optional
        Run engines in a random order among those that may run, and in chunks of random size.
    observer : callable, optional
        Called with instruction number, instruction and activation store when REQUANT or STORE
        has completed an instruction.

    Attributes
    ----------
    store : uint8, shape (2, half_words, W)
        The activation store; like the other memories it keeps its content between runs.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        order_seed: int | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.config, self._observer = config, observer
        self._random = None if order_seed is None else random.Random(order_seed)
        self.store = empty_store(config)
        self.weights = np.zeros((config.weight_rows, config.weight_row_bytes), np.uint8)
        self.params = ParamTable.zeros(config.param_channels)
        self._decoded: dict[int, NDArray[np.float64]] = {}
        self._start([], {})

    def run(self, program: bytes, model: bytes, image: bytes, output_bytes: int) -> bytes:
        """Run a program to its END.

        Parameters
        ----------
        program : bytes
            Instructions of 128 bytes.
        model, image : bytes
            What lies at Base.MODEL and Base.INPUT.
        output_bytes : int
            Room at Base.OUTPUT.

        Returns
        -------
        bytes
            The content at Base.OUTPUT.

        Raises
        ------
        SimulationError
            For an illegal instruction, an access outside a memory, a missing END or a deadlock,
            naming the instruction.
        """
        instructions = []
        for at in range(0, len(program), INSTR_BYTES):
            try:
                instructions.append(Instruction.decode(program[at : at + INSTR_BYTES]))
            except HessbitError as error:
                raise SimulationError(f"instruction {at // INSTR_BYTES}: {error}") from None
        ddr = {Base.MODEL: bytearray(model), Base.INPUT: bytearray(image)}
        ddr[Base.OUTPUT] = bytearray(output_bytes)
        self._start(instructions, ddr)
        while not self._finished():
            steps: list[Callable[[], bool]] = [self._dispatch]
            steps += [lambda e=e: self._step(e) for e in Engine]  # type: ignore[misc]
            if self._random is not None:
                self._random.shuffle(steps)
                moved = any(step() for step in steps)  # the first that can
            else:
                moved = any([step() for step in steps])
            if not moved:
                raise SimulationError(self._blocked())
        return bytes(ddr[Base.OUTPUT])

    # ---- queues

    def _start(self, program: list[Instruction], ddr: dict[Base, bytearray]) -> None:
        self._program, self._ddr, self._next = program, ddr, 0
        self._queue: dict[Engine, deque[_Job]] = {e: deque() for e in Engine}
        self._job: dict[Engine, _Job | None] = dict.fromkeys(Engine)
        self.completed = [0] * len(Engine)
        self._columns: deque[_Chunk] = deque()
        self._results: dict[Engine, deque[_Chunk]] = {Engine.ARRAY: deque(), Engine.POOL: deque()}
        self._chunk_plan: dict[int, list[tuple[int, int]]] = {}
        self._decoded.clear()

    def _finished(self) -> bool:
        if self._next >= len(self._program):
            raise SimulationError(f"the program of {len(self._program)} instructions has no END")
        at_end = self._program[self._next].opcode == Opcode.END
        return at_end and not any(self._job.values()) and not any(self._queue.values())

    def _dispatch(self) -> bool:
        instruction = self._program[self._next]
        targets = TARGETS[instruction.opcode]
        if not targets or any(len(self._queue[e]) >= QUEUE_DEPTH for e in targets):
            return False
        for e in targets:
            self._queue[e].append(_Job(self._next, instruction))
        self._next += 1
        if self._next >= len(self._program):
            raise SimulationError(f"the program of {len(self._program)} instructions has no END")
        return True

    def _step(self, engine: Engine) -> bool:
        job = self._job[engine]
        if job is None:
            if not self._queue[engine]:
                return False
            job = self._queue[engine][0]
            waits = job.instruction.waits
            if any(have < want for have, want in zip(self.completed, waits, strict=True)):
                return False
            self._queue[engine].popleft()
            if job.instruction.opcode in (Opcode.CONV, Opcode.POOL):
                job.chunks.extend(self._chunks(job))
            self._job[engine] = job
            return True
        try:
            moved = self._work(engine, job)
        except HessbitError as error:
            raise SimulationError(f"{_name(job)}: {error}") from None
        if moved and not job.chunks:
            self.completed[engine] += 1
            self._job[engine] = None
            if self._observer is not None and engine in (Engine.REQUANT, Engine.STORE):
                self._observer(job.index, job.instruction, self.store)
        return moved

    def _chunks(self, job: _Job) -> list[tuple[int, int]]:
        """Pixel ranges of whole tiles; more than the buffers hold where the tiles are."""
        if job.index not in self._chunk_plan:
            npix, dn = job.instruction.fields["npix"], self.config.dn
            if npix < 1:
                raise SimulationError(f"{_name(job)}: no pixels")
            tiles = -(-npix // dn)
            parts = min(tiles, COLUMN_BUFFERS + 1)
            if self._random is not None:
                parts = self._random.randint(parts, min(tiles, 12))
            cuts = [dn * (tiles * i // parts) for i in range(parts)] + [npix]
            self._chunk_plan[job.index] = list(pairwise(cuts))
        return self._chunk_plan[job.index]

    def _blocked(self) -> str:
        parts = []
        for e in Engine:
            job = self._job[e]
            if job is not None:
                parts.append(f"{e.name} is held in {_name(job)}")
            elif self._queue[e]:
                job = self._queue[e][0]
                waits = zip(Engine, self.completed, job.instruction.waits, strict=True)
                lacks = ", ".join(
                    f"{w.name} {have} of {want}" for w, have, want in waits if have < want
                )
                parts.append(f"{e.name} waits at {_name(job)} for {lacks}")
        parts.append(f"{self._next} of {len(self._program)} instructions dispatched")
        return "deadlock: " + "; ".join(parts)

    # ---- what the engines do

    def _work(self, engine: Engine, job: _Job) -> bool:
        fields = job.instruction.fields
        if engine == Engine.LOAD:
            self._load(fields)
        elif engine == Engine.STORE:
            self._store_map(fields)
        elif engine == Engine.GATHER:
            return self._gather(job)
        elif engine == Engine.ARRAY:
            return self._array(job)
        elif engine == Engine.POOL:
            if len(self._results[engine]) >= RESULT_BUFFERS:
                return False
            first, last = job.chunks.popleft()
            part = _part(fields, first, last)
            beats = pool_stream(self.config, part, self.store)
            self._results[engine].append(_Chunk(job.index, first, last, beats))
        else:
            source = Engine.POOL if job.instruction.opcode == Opcode.POOL else Engine.ARRAY
            if not self._results[source]:
                return False
            chunk = self._results[source].popleft()
            if (chunk.index, chunk.first, chunk.last) != (job.index, *job.chunks.popleft()):
                raise SimulationError(f"the results are those of instruction {chunk.index}")
            part = _part(fields, chunk.first, chunk.last)
            requant_stream(self.config, part, chunk.data, self.params, self.store)
        return True

    def _gather(self, job: _Job) -> bool:
        if len(self._columns) >= COLUMN_BUFFERS:
            return False
        f = job.instruction.fields
        words = row_words(f["in_row_lanes"], f["ab"], self.config.word)
        self._inside(f["in_base"], (f["in_h"] - 1) * f["in_row_words"] + words, "the input map")
        if -(-f["ab"] // 4) * f["kwords"] > self.config.col_rows // 2:
            raise SimulationError(f"a column of {f['kwords']} words does not fit the column memory")
        first, last = job.chunks.popleft()
        columns = gather_columns(self.config, self.store, f, np.arange(first, last))
        self._columns.append(_Chunk(job.index, first, last, columns))
        return True

    def _array(self, job: _Job) -> bool:
        results = self._results[Engine.ARRAY]
        if not self._columns or len(results) >= RESULT_BUFFERS:
            return False
        chunk = self._columns.popleft()
        if (chunk.index, chunk.first, chunk.last) != (job.index, *job.chunks.popleft()):
            raise SimulationError(f"the columns are those of instruction {chunk.index}")
        f = job.instruction.fields
        if job.index not in self._decoded:
            self._decoded[job.index] = decode_weights(self.config, self.weights, f)
        weights = self._decoded[job.index]
        acc = accumulate(chunk.data.astype(np.uint8), weights, bipolar=bool(f["bipolar"]))
        pixel, channel = beat_order(self.config, chunk.last - chunk.first, f["n_groups"])
        beats = acc[pixel[:, None], channel[:, None] + np.arange(self.config.r)]
        results.append(_Chunk(job.index, chunk.first, chunk.last, beats))
        return True

    def _load(self, f: dict[str, int]) -> None:
        size = 8 * f["beats"]
        data = self._read(f["base"], f["ddr"], size)
        if f["kind"] == LoadKind.WEIGHTS:
            at = f["dst"] * self.config.weight_row_bytes
            if at + size > self.weights.size:
                raise SimulationError(
                    f"weights end at byte {at + size} of the memory's {self.weights.size}"
                )
            self.weights.reshape(-1)[at : at + size] = np.frombuffer(data, np.uint8)
            self._decoded.clear()
        elif f["kind"] == LoadKind.PARAMS:
            if size % PARAM_BYTES:
                raise SimulationError(f"{f['beats']} beats are not whole parameter entries")
            self.params.load(f["dst"], data)
        elif f["kind"] == LoadKind.ACTS:
            count = f["rows"] * f["row_bytes"]
            if count > size:
                raise SimulationError(f"{count} bytes of activations in {f['beats']} beats")
            rows = np.frombuffer(data, np.uint8, count).reshape(f["rows"], f["row_bytes"], 1)
            self._inside(
                f["dst"],
                f["rows"] * row_words(f["row_bytes"], f["bits"], self.config.word),
                "the loaded map",
            )
            write_map(self.store, f["dst"], rows & np.uint8((1 << f["bits"]) - 1), f["bits"])
        else:
            raise SimulationError(f"unknown kind of LOAD {f['kind']}")

    def _store_map(self, f: dict[str, int]) -> None:
        words = row_words(f["row_lanes"], f["bits"], self.config.word)
        self._inside(f["src"], f["rows"] * words, "the stored map")
        values = read_map(self.store, f["src"], (f["rows"], f["row_lanes"], 1), f["bits"])
        data = values.astype(np.uint8).tobytes()
        self._read(f["base"], f["ddr"], len(data))
        self._ddr[Base(f["base"])][f["ddr"] : f["ddr"] + len(data)] = data

    def _read(self, base: int, at: int, size: int) -> bytes:
        """Bytes of DDR; also the check that an access lies inside."""
        if base not in self._ddr:
            raise SimulationError(f"unknown base {base}")
        memory = self._ddr[Base(base)]
        if at % 8 or at + size > len(memory):
            raise SimulationError(
                f"bytes {at}..{at + size - 1} of the {len(memory)} at Base.{Base(base).name}"
            )
        return bytes(memory[at : at + size])

    def _inside(self, address: int, words: int, what: str) -> None:
        end = (address & OFFSET_MASK) + words
        if address >> HALF_BIT > 1 or end > self.config.half_words:
            raise SimulationError(f"{what} ends at word {end} of {self.config.half_words}")


def _name(job: _Job) -> str:
    return f"instruction {job.index} ({job.instruction.opcode.name}, layer {job.instruction.layer})"


def _part(fields: dict[str, int], first: int, last: int) -> dict[str, int]:
    """The fields of an instruction that covers only the pixels ``first .. last-1``."""
    linear = fields["ox0"] + first
    position = {"oy0": fields["oy0"] + linear // fields["out_w"], "ox0": linear % fields["out_w"]}
    return fields | position | {"npix": last - first}


def run(artifact: Artifact, images: Bytes, *, order_seed: int | None = None) -> Bytes:
    """Run images through the instruction simulator.

    Parameters
    ----------
    artifact : Artifact
        The compiled model.
    images : uint8, shape (n, h, w, c) or (h, w, c)
    order_seed : int, optional
        See :class:`InstructionSimulator`.

    Returns
    -------
    uint8, shape (n, h, w, c) or (h, w, c)

    Raises
    ------
    SimulationError
        See :meth:`InstructionSimulator.run`.
    ArtifactError
        When an image has another shape or type.
    """
    simulator = InstructionSimulator(artifact.config, order_seed=order_seed)
    program, model = artifact.program.tobytes(), artifact.model.tobytes()
    batch = images if images.ndim == 4 else images[None]
    outputs = []
    for image in batch:
        data = simulator.run(program, model, artifact.input_bytes(image), artifact.output.bytes)
        outputs.append(artifact.crop_output(data))
    result = np.stack(outputs)
    return result if images.ndim == 4 else result[0]
