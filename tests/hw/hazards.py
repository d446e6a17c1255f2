"""Prove from a program alone that its waits order every pair of conflicting accesses.

Engines run at any speed; an instruction starts when its engine has finished the one before and the
counts it waits for are reached. Of two accesses to the same memory, one a write, the earlier one in
the program must be complete before the later one can start.
"""

from __future__ import annotations

from dataclasses import dataclass

from hessbit.hw.config import AcceleratorConfig
from hessbit.hw.isa import TARGETS, Engine, Instruction, LoadKind, Opcode

Clock = tuple[int, ...]


@dataclass(frozen=True)
class Access:
    """One engine's access to words ``first..last-1`` of a memory by instruction ``index``."""

    index: int
    engine: Engine
    memory: str
    first: int
    last: int
    write: bool


@dataclass
class Event:
    """An instruction on one engine: what is complete when it starts, and its own number."""

    start: list[int]
    number: int


def _join(a: list[int], b: list[int]) -> list[int]:
    return [max(x, y) for x, y in zip(a, b, strict=True)]


def check(program: list[Instruction], config: AcceleratorConfig) -> int:
    """Assert that every conflict is ordered; the number of conflicts seen."""
    done: dict[Engine, list[list[int]]] = {e: [] for e in Engine}
    events: dict[tuple[int, Engine], Event] = {}
    accesses: list[Access] = []
    for index, instruction in enumerate(program):
        clock = [0] * len(Engine)
        for engine, wait in zip(Engine, instruction.waits, strict=True):
            assert wait <= len(done[engine]), f"{index}: waits for a later {engine.name}"
            if wait:
                clock = _join(clock, done[engine][wait - 1])
        before: list[int] | None = None
        for engine in TARGETS[instruction.opcode]:
            start = _join(clock, done[engine][-1]) if done[engine] else list(clock)
            number = len(done[engine]) + 1
            complete = list(start) if before is None else _join(start, before)
            complete[engine] = number
            done[engine].append(complete)
            events[index, engine] = Event(start, number)
            before = complete
        accesses += _accesses(index, instruction, config)
    conflicts = 0
    for i, a in enumerate(accesses):
        for b in accesses[i + 1 :]:
            if a.index == b.index or a.memory != b.memory or not (a.write or b.write):
                continue
            if a.first >= b.last or b.first >= a.last:
                continue
            conflicts += 1
            if a.engine == b.engine:
                continue
            known = events[b.index, b.engine].start[a.engine]
            assert known >= events[a.index, a.engine].number, f"unordered: {a} and {b}"
    return conflicts


def _accesses(index: int, instruction: Instruction, config: AcceleratorConfig) -> list[Access]:
    f = instruction.fields
    found: list[Access] = []

    def add(engine: Engine, memory: str, first: int, words: int, write: bool = False) -> None:
        found.append(Access(index, engine, memory, first, first + words, write))

    if instruction.opcode == Opcode.LOAD:
        if f["kind"] == LoadKind.WEIGHTS:
            add(Engine.LOAD, "weights", f["dst"], f["beats"] * 8 // config.weight_row_bytes, True)
        elif f["kind"] == LoadKind.PARAMS:
            add(Engine.LOAD, "params", f["dst"], f["beats"] // 2, True)
        else:
            row = -(-f["row_bytes"] // config.word) * f["bits"]
            add(Engine.LOAD, "acts", f["dst"], f["rows"] * row, True)
    elif instruction.opcode in (Opcode.CONV, Opcode.POOL):
        pixels = range(f["npix"])
        first_row = f["oy0"]
        last_row = (f["oy0"] * f["out_w"] + f["ox0"] + f["npix"] - 1) // f["out_w"]
        assert len(pixels) > 0
        top = max(0, first_row * f["stride_y"] + f["y0"])
        reach = f.get("dil_y", 1) * (f["kh"] - 1)
        bottom = min(f["in_h"] - 1, last_row * f["stride_y"] + f["y0"] + reach)
        conv = instruction.opcode == Opcode.CONV
        source = Engine.GATHER if conv else Engine.POOL
        words = (bottom - top + 1) * f["in_row_words"]
        add(source, "acts", f["in_base"] + top * f["in_row_words"], words)
        rows = last_row - first_row + 1
        at = first_row * f["out_row_words"]
        add(Engine.REQUANT, "acts", f["out_base"] + at, rows * f["out_row_words"], True)
        if f["skip_en"]:
            at = first_row * f["skip_row_words"]
            add(Engine.REQUANT, "acts", f["skip_base"] + at, rows * f["skip_row_words"])
        add(Engine.REQUANT, "params", f["p_base"], f["n_groups"] * config.dm)
        if conv:
            add(Engine.ARRAY, "weights", f["w_base"], f["n_groups"] * f["w_stride"])
    elif instruction.opcode == Opcode.STORE:
        row = -(-f["row_lanes"] // config.word) * f["bits"]
        add(Engine.STORE, "acts", f["src"], f["rows"] * row)
    return found
