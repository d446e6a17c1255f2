"""hb_csr against its twin: register map, counters and log, start, errors, watchdog, soft reset."""

from __future__ import annotations

import random

import cocotb
from bus import OFFSETS, Host, reset, seeded
from cocotb.triggers import ClockCycles, FallingEdge
from runner import parameter
from twins.csr import COUNTERS, WIDTHS, Stats, after_reset

from hessbit.hw.isa import LOG_ENTRIES, LOG_OFFSET, REGISTERS, Engine, ErrorCode

BUSY, DONE, ERROR = 1, 2, 4
EVENTS = {"DONE": "done_i", "BUSY": "busy_i", "WAIT": "waiting_i", "STALL_IN": "stall_in_i",
          "STALL_OUT": "stall_out_i"}  # fmt: skip
PULSES = ("seq_done_i", "seq_error_i", "rd_error_i", "wr_error_i")


async def make(dut) -> Host:
    """Reset with quiet inputs."""
    for name in (*EVENTS.values(), *PULSES, "axi_busy_i", "progress_i", "rd_beat_i", "wr_beat_i",
                 "requant_layer_i", "store_layer_i", "dispatched_i"):  # fmt: skip
        getattr(dut, name).value = 0
    await reset(dut)
    return Host(dut)


async def pulse(dut, name: str) -> None:
    """One cycle high."""
    await FallingEdge(dut.clk_i)
    getattr(dut, name).value = 1
    await FallingEdge(dut.clk_i)
    getattr(dut, name).value = 0


@cocotb.test()
async def register_map(dut) -> None:
    """Every register of the ISA and every hole: reset value, writable bits, byte strobes."""
    rng, host = seeded(), await make(dut)
    want = after_reset(parameter("CfgHashLo"), parameter("CfgHashHi"))
    known = {r.offset: r for r in REGISTERS}
    for offset in range(0, LOG_OFFSET, 4):
        value = await host.get_at(offset)
        assert value == (want[known[offset].name] if offset in known else 0), f"{offset:#x}"
    written = {}
    for r in REGISTERS:
        if r.name == "CTRL":
            continue
        value = rng.getrandbits(32)
        await host.set(r.name, value)
        if r.access == "RW":
            written[r.name] = value & ((1 << WIDTHS.get(r.name, 32)) - 1)
    for offset in (0x02C, 0x03C, 0x07C, 0x7FC):  # holes
        await host.lite.write(offset, b"\xff" * 4)
    for r in REGISTERS:
        assert await host.get(r.name) == written.get(r.name, want[r.name]), r.name
    await host.lite.write(OFFSETS["MODEL_LO"] + 1, b"\xaa")
    value = written["MODEL_LO"] & 0xFFFF00FF | 0xAA00
    assert await host.get("MODEL_LO") == value
    bases = int(dut.base_o.value)
    for i, name in enumerate(("MODEL", "INPUT", "OUTPUT")):
        low = value if name == "MODEL" else written[f"{name}_LO"]
        assert bases >> (40 * i) & (2**40 - 1) == written[f"{name}_HI"] << 32 | low
    assert int(dut.prog_addr_o.value) == written["PROG_HI"] << 32 | written["PROG_LO"]
    assert int(dut.prog_len_o.value) == written["PROG_LEN"]


async def run_cycles(dut, rng: random.Random, n: int, p_done: float) -> Stats:
    """Random events in every cycle of a run of n cycles after the start."""
    stats = Stats()
    await FallingEdge(dut.clk_i)
    while not dut.start_o.value:
        await FallingEdge(dut.clk_i)
    for i in range(n):
        beats = (rng.random() < 0.5, rng.random() < 0.5)
        events = {k: rng.getrandbits(6) for k in COUNTERS}
        events["DONE"] = sum((rng.random() < p_done) << e for e in range(6))
        if i and stats_busy(stats, i):  # an engine cannot end twice in three cycles
            events["DONE"] &= ~(1 << Engine.REQUANT | 1 << Engine.STORE)
        layers = {e: rng.getrandbits(16) for e in (Engine.REQUANT, Engine.STORE)}
        dut.rd_beat_i.value, dut.wr_beat_i.value = beats
        for k, name in EVENTS.items():
            getattr(dut, name).value = events[k]
        dut.requant_layer_i.value = layers[Engine.REQUANT]
        dut.store_layer_i.value = layers[Engine.STORE]
        dut.progress_i.value = 1
        dut.seq_done_i.value = i == n - 1
        stats.cycle(beats, events, layers)
        await FallingEdge(dut.clk_i)
        count = int(dut.count_o.value)
        for e in Engine:
            assert count >> (16 * e) & 0xFFFF == stats.values[f"{e.name}_DONE"] & 0xFFFF
    dut.seq_done_i.value = 0
    return stats


def stats_busy(stats: Stats, cycle: int) -> bool:
    """The log took an entry in the last two cycles."""
    return bool(stats.log) and cycle - stats.log[-1][0] <= 2


@cocotb.test()
async def counters_and_log(dut) -> None:
    """Counters and log of three runs; the last one has more completions than the log holds."""
    rng, host = seeded(), await make(dut)
    for cycles, p_done in ((50, 0.1), (400, 0.2), (3000, 0.5)):
        task = cocotb.start_soon(run_cycles(dut, rng, cycles, p_done))
        await host.set("CTRL", 1)
        stats = await task
        assert await host.settled() == DONE
        for name, value in stats.values.items():
            assert await host.get(name) == value & (0xFFFF if name.endswith("_DONE") else -1), name
        assert await host.get("LOG_COUNT") == len(stats.log)
        for i, entry in enumerate(stats.log):
            if i < 40 or i > LOG_ENTRIES - 10:
                at = LOG_OFFSET + 8 * i
                assert (await host.get_at(at), await host.get_at(at + 4)) == entry
    assert len(stats.log) == LOG_ENTRIES


@cocotb.test()
async def errors(dut) -> None:
    """The first error is latched; only the soft reset clears it; it waits for the masters."""
    host = await make(dut)
    await host.set("IRQ_ENABLE", 2)
    await host.set("PROG_LEN", 77)
    for name, code in (("seq_error_i", ErrorCode.NO_END), ("rd_error_i", ErrorCode.AXI_READ),
                       ("wr_error_i", ErrorCode.AXI_WRITE)):  # fmt: skip
        await host.set("CTRL", 1)
        assert await host.get("STATUS") == BUSY
        assert not dut.halt_o.value
        dut.seq_error_code_i.value = ErrorCode.NO_END
        dut.dispatched_i.value = 0x12345
        await pulse(dut, name)
        for other in PULSES:
            await pulse(dut, other)
        assert await host.get("STATUS") == code << 8 | ERROR
        assert await host.get("ERROR_INFO") == 0x2345
        assert await host.get("IRQ_STATUS") == 2
        assert dut.irq_o.value and dut.halt_o.value
        await host.set("CTRL", 1)
        assert await host.get("STATUS") == code << 8 | ERROR
        dut.axi_busy_i.value = 1
        await host.set("CTRL", 2)
        await ClockCycles(dut.clk_i, 30)
        assert await host.get("STATUS") == BUSY
        assert dut.soft_reset_o.value
        dut.axi_busy_i.value = 0
        assert await host.settled() == 0
        assert not dut.soft_reset_o.value and not dut.halt_o.value
        assert await host.get("PROG_LEN") == 77
        await host.set("IRQ_STATUS", 3)
        assert not dut.irq_o.value


@cocotb.test()
async def watchdog_and_masks(dut) -> None:
    """The watchdog counts cycles without progress; a masked interrupt stays low."""
    host = await make(dut)
    await host.set("WATCHDOG", 40)
    await host.set("CTRL", 1)
    for _ in range(10):
        await ClockCycles(dut.clk_i, 35)
        await pulse(dut, "progress_i")
    assert await host.get("STATUS") == BUSY
    await pulse(dut, "progress_i")
    quiet = 0  # cycles without progress before the run is stopped
    while not dut.halt_o.value:
        await FallingEdge(dut.clk_i)
        quiet += 1
        assert quiet < 60
    assert quiet == 42  # 41 are more than 40; the state follows one later
    await FallingEdge(dut.clk_i)
    assert await host.get("STATUS") == ErrorCode.WATCHDOG << 8 | ERROR
    assert await host.get("IRQ_STATUS") == 2
    assert not dut.irq_o.value
    await host.set("IRQ_ENABLE", 2)
    assert dut.irq_o.value
