"""The instruction simulator against the reference executor, and its checks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_graph, random_image, resnet8

from hessbit.deploy.artifact import Artifact
from hessbit.errors import InfeasibleError, NumericsError, SimulationError
from hessbit.hw.compiler import compile_graph
from hessbit.hw.config import preset
from hessbit.hw.isa import INSTR_BYTES, Instruction, Opcode
from hessbit.sim.instruction import InstructionSimulator, run
from hessbit.sim.reference import run as run_reference


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(("tiny", "ci", "z7020")),
    order=st.none() | st.integers(0, 1000),
)
def test_random_networks_equal_the_reference(seed: int, name: str, order: int | None) -> None:
    graph = random_graph(seed)
    try:
        artifact = compile_graph(graph, preset(name)).artifact
    except (InfeasibleError, NumericsError):
        return
    images = np.stack([random_image(graph, seed + i) for i in range(2)])
    assert np.array_equal(run(artifact, images, order_seed=order), run_reference(graph, images))


@pytest.mark.parametrize(("wb", "ab"), [(8, 8), (4, 4), (1, 2)])
def test_resnet8(wb: int, ab: int) -> None:
    artifact = compile_graph(resnet8(wb, ab), preset("ci")).artifact
    for order in (None, 1, 2, 3):
        output = run(artifact, artifact.golden_input, order_seed=order)
        assert np.array_equal(output, artifact.golden_output)


@pytest.fixture(scope="module")
def small() -> Artifact:
    return compile_graph(random_graph(4), preset("tiny")).artifact


def _changed(artifact: Artifact, instructions: list[Instruction]) -> Artifact:
    code = b"".join(i.encode() for i in instructions)
    return replace(artifact, program=np.frombuffer(code, np.uint8))


def _with(instruction: Instruction, **fields: int) -> Instruction:
    return replace(instruction, fields=instruction.fields | fields)


def test_missing_waits_are_noticed() -> None:
    artifact = compile_graph(resnet8(2, 2), preset("ci")).artifact
    bare = [replace(i, waits=(0,) * 6) for i in artifact.instructions()]
    damaged = _changed(artifact, bare)
    wrong = 0
    for order in range(4):
        try:
            output = run(damaged, artifact.golden_input, order_seed=order)
            wrong += not np.array_equal(output, artifact.golden_output)
        except SimulationError:
            wrong += 1
    assert wrong > 0


def test_deadlock_names_the_instruction(small: Artifact) -> None:
    program = small.instructions()
    conv = next(i for i, ins in enumerate(program) if ins.opcode == Opcode.CONV)
    program[conv] = replace(program[conv], waits=(1000, 0, 0, 0, 0, 0))
    with pytest.raises(SimulationError, match=rf"deadlock: .*GATHER waits at instruction {conv} "):
        run(_changed(small, program), small.golden_input)


def test_missing_end(small: Artifact) -> None:
    with pytest.raises(SimulationError, match="no END"):
        run(_changed(small, small.instructions()[:-1]), small.golden_input)


def test_illegal_instruction(small: Artifact) -> None:
    program = small.program.copy()
    program[INSTR_BYTES] = 77
    with pytest.raises(SimulationError, match="instruction 1: unknown opcode 77"):
        run(replace(small, program=program), small.golden_input)


@pytest.mark.parametrize(
    ("opcode", "fields", "message"),
    [
        (Opcode.LOAD, {"ddr": 1 << 20}, "bytes 1048576"),
        (Opcode.LOAD, {"ddr": 4}, "bytes 4"),
        (Opcode.LOAD, {"base": 3}, "unknown base 3"),
        (Opcode.LOAD, {"kind": 3}, "unknown kind"),
        (Opcode.CONV, {"in_base": 4095}, "input map ends"),
        (Opcode.CONV, {"out_base": 4095}, "the output reaches word"),
        (Opcode.CONV, {"w_base": 1023, "w_stride": 9}, "weight word"),
        (Opcode.CONV, {"p_base": 128}, "parameter entry"),
        (Opcode.CONV, {"kwords": 4000}, "column memory"),
        (Opcode.STORE, {"src": 4095, "rows": 9}, "stored map ends"),
        (Opcode.STORE, {"ddr": 1 << 20}, "Base.OUTPUT"),
    ],
)
def test_accesses_outside_are_named(
    small: Artifact, opcode: Opcode, fields: dict[str, int], message: str
) -> None:
    program = small.instructions()
    at = next(i for i, ins in enumerate(program) if ins.opcode == opcode)
    program[at] = _with(program[at], **fields)
    with pytest.raises(SimulationError, match=message) as error:
        run(_changed(small, program), small.golden_input)
    assert f"instruction {at} ({opcode.name}" in str(error.value)


def test_observer_sees_every_layer(small: Artifact) -> None:
    seen: list[int] = []
    simulator = InstructionSimulator(
        small.config, observer=lambda index, instruction, store: seen.append(instruction.layer)
    )
    image = small.input_bytes(small.golden_input)
    program, model = small.program.tobytes(), small.model.tobytes()
    simulator.run(program, model, image, small.output.bytes)
    layers = {i.layer for i in small.instructions() if i.opcode in (Opcode.CONV, Opcode.POOL)}
    assert layers <= set(seen)
