"""The Verilated overlay against reference and instruction simulator, on small networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks import random_graph, random_image

from hessbit.deploy import Accelerator, Artifact
from hessbit.deploy.simulated import board_of, simulated_board
from hessbit.errors import DeployError, InfeasibleError, SimulationError
from hessbit.hw.compiler import compile_graph
from hessbit.hw.config import AcceleratorConfig, preset
from hessbit.sim import rtl
from hessbit.sim.instruction import run as run_instructions
from hessbit.sim.reference import run as run_reference
from hessbit.sim.rtl import DdrModel, RtlSimulator

TINY = preset("tiny")


@pytest.fixture(scope="module")
def small() -> Artifact:
    return compile_graph(random_graph(4), TINY).artifact


@pytest.mark.parametrize("seed", range(16))
def test_random_networks(seed: int) -> None:
    graph = random_graph(seed, layers=5)
    try:
        artifact = compile_graph(graph, TINY).artifact
    except InfeasibleError:
        pytest.fail("the networks of this test are meant to fit")
    images = np.stack([random_image(graph, i) for i in range(2)])
    expected = run_reference(graph, images)
    assert np.array_equal(run_instructions(artifact, images), expected)
    accelerator = Accelerator(simulated_board(TINY), artifact)
    assert np.array_equal(accelerator.run(images), expected)


@pytest.mark.parametrize(
    "ddr",
    [
        DdrModel(stall_percent=30, seed=1),
        DdrModel(stall_percent=70, seed=2, latency_cycles=3),
        DdrModel(bandwidth_gbs=0.1, latency_cycles=200),
        DdrModel(bandwidth_gbs=10, latency_cycles=1),
    ],
)
def test_timing_of_the_ddr_does_not_change_results(small: Artifact, ddr: DdrModel) -> None:
    accelerator = Accelerator(simulated_board(TINY, ddr=ddr), small)
    accelerator.self_test()
    accelerator.self_test()


def test_slower_memory_costs_cycles(small: Artifact) -> None:
    cycles = []
    for bandwidth in (1.6, 0.3):
        board = simulated_board(TINY, ddr=DdrModel(bandwidth_gbs=bandwidth))
        cycles.append(Accelerator(board, small).self_test().cycles)
    assert cycles[1] > cycles[0]


def test_counters_agree_with_the_memory(small: Artifact) -> None:
    sim = RtlSimulator(TINY)
    accelerator = Accelerator(board_of(sim), small)
    first = accelerator.self_test()
    before = sim.beats
    second = accelerator.self_test()
    read, written = (8 * (b - a) for a, b in zip(before, sim.beats, strict=True))
    assert (second.read_bytes, second.write_bytes) == (read, written)
    assert second.write_bytes == small.output.bytes
    assert abs(first.cycles - second.cycles) < 200
    assert second.instructions == small.n_instructions
    ends = [entry.end_cycle for entry in second.layers]
    assert ends == sorted(ends)
    assert 0 < ends[-1] <= second.cycles
    for engine, counters in second.engines.items():
        assert max(counters.busy, counters.wait) <= second.cycles, engine
        assert counters.stall_in + counters.stall_out <= counters.busy, engine
    assert second.engines["STORE"].done == 1


@pytest.mark.parametrize("part", ["program", "model", "input"])
def test_read_errors_are_reported_and_survived(small: Artifact, part: str) -> None:
    sim = RtlSimulator(TINY)
    accelerator = Accelerator(board_of(sim), small)
    buffer = getattr(accelerator, f"_{part}")
    sim.inject(error_at=(buffer.device_address + 8, buffer.device_address + 9))
    with pytest.raises(DeployError, match=r"error 3 \(AXI_READ\)"):
        accelerator.self_test()
    sim.inject()
    accelerator.self_test()


def test_write_errors_are_reported_and_survived(small: Artifact) -> None:
    sim = RtlSimulator(TINY)
    accelerator = Accelerator(board_of(sim), small)
    address = accelerator._output.device_address
    sim.inject(error_at=(address, address + 8))
    with pytest.raises(DeployError, match=r"error 4 \(AXI_WRITE\)"):
        accelerator.self_test()
    sim.inject()
    accelerator.self_test()


def test_dead_bus_is_reported_and_survived(small: Artifact) -> None:
    sim = RtlSimulator(TINY)
    accelerator = Accelerator(board_of(sim), small, watchdog_cycles=5000)
    sim.inject(dead=True)
    with pytest.raises(DeployError, match=r"error 5 \(WATCHDOG\)"):
        accelerator.self_test()
    sim.inject()
    accelerator.reset()
    accelerator.self_test()


def test_soft_reset_in_a_run(small: Artifact) -> None:
    sim = RtlSimulator(TINY)
    accelerator = Accelerator(board_of(sim), small)
    total = accelerator.self_test().cycles
    for at in (30, 100, total // 3, total // 2, total - 50):
        sim.write(0x020, 3)
        sim.write(0x010, 1)
        sim.run(at)
        accelerator.reset()
        accelerator.self_test()


def test_waveform(small: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "wave.fst"
    sim = RtlSimulator(TINY, trace=path)
    Accelerator(board_of(sim), small).self_test()
    sim.close()
    assert path.stat().st_size > 1000


def test_build_failure_names_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    broken = tmp_path / "hb_pkg.sv"
    broken.write_text("module hb_top; this is not SystemVerilog")
    monkeypatch.setattr(rtl, "_sources", lambda: [broken])
    with pytest.raises(SimulationError, match=r"building .* failed; see .*\.log") as error:
        rtl.build_model(TINY)
    log = Path(str(error.value).rpartition(" ")[2])
    assert "syntax error" in log.read_text()
    left = {p.name for p in (tmp_path / "hessbit").iterdir()}
    assert left == {log.name, f"{log.stem}.lock"}


def test_configuration_registers() -> None:
    sim = RtlSimulator(TINY)
    other = AcceleratorConfig(**{**TINY.__dict__, "weight_rows": 512})
    assert sim.read(0x008) | sim.read(0x00C) << 32 == TINY.hash != other.hash
