"""Probes of the activation store, on the instruction simulator and on the RTL."""

from __future__ import annotations

import numpy as np
import pytest
from networks import random_graph

from hessbit.deploy import Artifact
from hessbit.deploy.simulated import board_of
from hessbit.hw.compiler import compile_graph
from hessbit.hw.config import preset
from hessbit.hw.isa import Opcode
from hessbit.sim.instruction import InstructionSimulator, run
from hessbit.sim.probe import first_difference, probe, store_of
from hessbit.sim.rtl import RtlSimulator


@pytest.fixture(scope="module")
def small() -> Artifact:
    return compile_graph(random_graph(4), preset("tiny")).artifact


def test_a_probe_shows_the_store(small: Artifact) -> None:
    simulator = InstructionSimulator(small.config)
    image = small.input_bytes(small.golden_input)
    program, model = small.program.tobytes(), small.model.tobytes()
    simulator.run(program, model, image, small.output.bytes)
    whole = probe(small, small.n_instructions - 2)
    assert np.array_equal(store_of(whole, run(whole, small.golden_input)), simulator.store)


def test_the_rtl_agrees_after_every_instruction(small: Artifact) -> None:
    sim = RtlSimulator(small.config)
    assert first_difference(small, small.golden_input, board_of(sim)) is None


def test_a_difference_is_found(small: Artifact) -> None:
    load = next(
        i for i, ins in enumerate(small.instructions())
        if ins.opcode == Opcode.LOAD and ins.fields["kind"] == 2
    )  # fmt: skip
    sim = RtlSimulator(small.config)
    board = board_of(sim)
    plain_write = sim.write

    def write(offset: int, value: int) -> None:
        if offset == 0x010 and value == 1:  # start: the input is in DDR by now
            address = sim.read(0x048) - sim.memory_base
            sim.memory[address] ^= 1
        plain_write(offset, value)

    sim.write = write  # type: ignore[method-assign]
    found = first_difference(small, small.golden_input, board)
    assert found is not None
    assert found.startswith(f"instruction {load} (LOAD")
