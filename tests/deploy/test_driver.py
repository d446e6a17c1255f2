"""The driver on boards that misbehave, and its imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from networks import random_graph

from hessbit.deploy import Accelerator, Artifact, Board, open_board, simulated_board
from hessbit.deploy.simulated import SimulatedBuffer
from hessbit.errors import DeployError, ShapeError
from hessbit.hw.compiler import compile_graph
from hessbit.hw.config import preset
from hessbit.hw.isa import ID_VALUE, ISA_VERSION, REGISTERS

TINY = preset("tiny")
OFFSET = {r.name: r.offset for r in REGISTERS}


class FakeRegisters:
    """Registers of an overlay that has not been told to do anything."""

    def __init__(self, **values: int) -> None:
        self.values = {
            "ID": ID_VALUE, "VERSION": ISA_VERSION, "CFG_HASH_LO": TINY.hash & 0xFFFFFFFF,
            "CFG_HASH_HI": TINY.hash >> 32,
        } | values  # fmt: skip
        self.written: list[tuple[str, int]] = []

    def read(self, offset: int) -> int:
        return next((self.values.get(r.name, 0) for r in REGISTERS if r.offset == offset), 0)

    def write(self, offset: int, value: int) -> None:
        assert type(value) is int  # pynq.MMIO takes no numpy integers
        name = next(r.name for r in REGISTERS if r.offset == offset)
        self.written.append((name, value))


def fake_board(registers: object) -> Board:
    def allocate(shape: tuple[int, ...], dtype: object) -> SimulatedBuffer:
        buffer = np.zeros(shape, np.uint8).view(SimulatedBuffer)
        buffer.device_address = 0x1_2345_6000
        return buffer

    return Board(name="fake", registers=registers, allocate=allocate, timeout_s=0.05)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small() -> Artifact:
    return compile_graph(random_graph(4), TINY).artifact


def test_no_overlay(small: Artifact) -> None:
    with pytest.raises(DeployError, match="no hessbit overlay on fake: ID reads 0xdeadbeef"):
        Accelerator(fake_board(FakeRegisters(ID=0xDEADBEEF)), small)


def test_other_isa(small: Artifact) -> None:
    with pytest.raises(DeployError, match=f"ISA version 99, this release {ISA_VERSION}"):
        Accelerator(fake_board(FakeRegisters(VERSION=99)), small)


def test_other_configuration_names_both(small: Artifact) -> None:
    registers = FakeRegisters(CFG_HASH_LO=1, CFG_HASH_HI=2)
    with pytest.raises(DeployError, match=rf"0000000200000001, .* 'tiny' \({TINY.hash:016x}\)"):
        Accelerator(fake_board(registers), small)


def test_timeout(small: Artifact) -> None:
    accelerator = Accelerator(fake_board(FakeRegisters()), small)
    with pytest.raises(DeployError, match=r"did not finish within 0.05 s \(0 of \d+ instructions"):
        accelerator.run(small.golden_input)


def test_addresses_have_both_words(small: Artifact) -> None:
    registers = FakeRegisters()
    Accelerator(fake_board(registers), small)
    assert ("PROG_LO", 0x23456000) in registers.written
    assert ("PROG_HI", 1) in registers.written


def test_dead_register_bus(small: Artifact) -> None:
    class Dead:
        def read(self, offset: int) -> int:
            raise OSError("bus error")

        write = None

    with pytest.raises(DeployError, match="fake does not answer: bus error"):
        Accelerator(fake_board(Dead()), small)


def test_memory_full(small: Artifact) -> None:
    def allocate(shape: object, dtype: object) -> object:
        raise RuntimeError("Failed to allocate memory")

    board = Board(name="fake", registers=FakeRegisters(), allocate=allocate)
    with pytest.raises(DeployError, match="cannot allocate"):
        Accelerator(board, small)


def test_absent_board(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="no bitstream at"):
        open_board(tmp_path / "missing.bit")
    (tmp_path / "empty.bit").write_bytes(b"")
    with pytest.raises(DeployError):
        open_board(tmp_path / "empty.bit")


def test_wrong_images(small: Artifact) -> None:
    accelerator = Accelerator(fake_board(FakeRegisters()), small)
    with pytest.raises(ShapeError, match="float32"):
        accelerator.run(small.golden_input.astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="of shape"):
        accelerator.run(small.golden_input[:, :-1])


def test_simulated_board(small: Artifact) -> None:
    accelerator = Accelerator(simulated_board(TINY), small)
    report = accelerator.self_test()
    assert report.cycles > 0
    batch = np.stack([small.golden_input] * 3)
    outputs = accelerator.run(batch)
    assert np.array_equal(outputs, np.stack([small.golden_output] * 3))


def test_failing_self_test(small: Artifact) -> None:
    accelerator = Accelerator(simulated_board(TINY), small)
    accelerator._model[:] = 0x55
    with pytest.raises(DeployError, match="self-test on simulated tiny failed"):
        accelerator.self_test()


def test_simulated_memory_full() -> None:
    board = simulated_board(TINY, memory_bytes=1 << 16)
    with pytest.raises(DeployError, match="larger memory_bytes"):
        board.allocate((1 << 17,), np.uint8)


def test_import_is_light() -> None:
    code = """
import sys
for name in ("torch", "onnx", "scipy", "pynq", "hessbit.hw.compiler", "hessbit.quant"):
    sys.modules[name] = None
import hessbit.deploy
assert not [m for m in sys.modules if m.startswith("hessbit.sim.") and m.endswith("rtl")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
