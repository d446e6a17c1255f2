"""hb_stats against its twin: random events, runs and clears, a read of the twin every cycle."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from twins.csr import COUNTERS
from twins.stats import NAMES, StatsModule

from hessbit.hw.isa import LOG_ENTRIES, LOG_OFFSET, Engine

INPUTS = {"DONE": "done_i", "BUSY": "busy_i", "WAIT": "waiting_i", "STALL_IN": "stall_in_i",
          "STALL_OUT": "stall_out_i"}  # fmt: skip
LOGGED = (Engine.REQUANT, Engine.STORE)


def random_address(rng: random.Random, log_count: int) -> int:
    """A register, the log around its end, or anywhere."""
    entry = max(0, min(LOG_ENTRIES - 1, log_count - rng.randint(0, 3)))
    return rng.choice(
        (
            rng.choice(list(NAMES)),
            LOG_OFFSET + 8 * entry + 4 * rng.randrange(2),
            LOG_OFFSET + 4 * rng.randrange(2 * LOG_ENTRIES),
            4 * rng.randrange(LOG_OFFSET // 4),
        )
    )


class Bench:
    """Drives all inputs and checks both outputs, one cycle a :meth:`cycle`."""

    def __init__(self, dut, rng: random.Random) -> None:
        self.dut, self.rng, self.twin = dut, rng, StatsModule()
        self.requant_rests = False

    async def reset(self) -> None:
        """Clock and reset; what the log memory holds is unknown to the twin."""
        dut = self.dut
        for port in (dut.rst_ni, dut.run_i, dut.clear_i):
            port.value = 0
        Clock(dut.clk_i, 10, "ns").start()
        for _ in range(3):
            await FallingEdge(dut.clk_i)
        dut.rst_ni.value = 1

    async def cycle(self, p_done: float, clear: bool = False, run: bool = True) -> None:
        """One cycle of random events; ``p_done`` is the rate of completions."""
        dut, rng = self.dut, self.rng
        events = {k: rng.getrandbits(6) for k in COUNTERS}
        events["DONE"] = sum((rng.random() < p_done) << e for e in Engine)
        if self.requant_rests:
            events["DONE"] &= ~(1 << Engine.REQUANT)
        if self.twin.pending is not None and events["DONE"] >> Engine.REQUANT & 1:
            events["DONE"] &= ~(1 << Engine.STORE)
        self.requant_rests = bool(events["DONE"] >> Engine.REQUANT & 1)
        beats = (rng.random() < 0.5, rng.random() < 0.5)
        layers = {e: rng.getrandbits(16) for e in LOGGED}
        address = random_address(rng, self.twin.log_count)
        for name, port in INPUTS.items():
            getattr(dut, port).value = events[name]
        dut.rd_beat_i.value, dut.wr_beat_i.value = beats
        dut.requant_layer_i.value = layers[Engine.REQUANT]
        dut.store_layer_i.value = layers[Engine.STORE]
        dut.clear_i.value, dut.run_i.value = clear, run
        dut.rd_addr_i.value = address
        want = self.twin.read(address)
        self.twin.cycle(clear, run, beats, events, layers)
        await FallingEdge(dut.clk_i)
        if want is not None:
            got = int(dut.rd_data_o.value)
            assert got == want, f"{address:#x} holds {got:#x}, not {want:#x}"
        counts = int(dut.count_o.value)
        for e in Engine:
            done = self.twin.stats.values[f"{e.name}_DONE"]
            assert counts >> 16 * e & 0xFFFF == done, f"completions of {e.name}"


@cocotb.test()
async def random_events(dut) -> None:
    """Short runs with pauses and clears."""
    bench = Bench(dut, rng := random.Random(cocotb.RANDOM_SEED))
    await bench.reset()
    for _ in range(20):
        p_done, p_run = rng.choice((0.02, 0.2, 0.9)), rng.choice((0.3, 1.0))
        for _ in range(rng.randint(5, 80)):
            await bench.cycle(p_done, run=rng.random() < p_run)
        await bench.cycle(0.9, clear=rng.random() < 0.6, run=rng.random() < 0.5)


@cocotb.test()
async def full_log(dut) -> None:
    """The log keeps its first entries and all counters go on; then every word is read."""
    bench = Bench(dut, random.Random(cocotb.RANDOM_SEED + 1))
    await bench.reset()
    for _ in range(2 * LOG_ENTRIES):
        await bench.cycle(0.7)
    assert bench.twin.log_count == LOG_ENTRIES
    for _ in range(600):
        await bench.cycle(0.5)
    for address in [*NAMES, *range(LOG_OFFSET, LOG_OFFSET + 8 * LOG_ENTRIES, 4)]:
        dut.run_i.value = 0
        dut.clear_i.value = 0
        dut.rd_addr_i.value = address
        await FallingEdge(dut.clk_i)
        assert int(dut.rd_data_o.value) == bench.twin.read(address), f"{address:#x}"
