"""hb_engine_queue against its twin, with counters that rise at random."""

from __future__ import annotations

import cocotb
from bus import seeded
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from runner import parameter
from twins.engine_queue import EngineQueue, Entry


def packed(words: tuple[int, ...]) -> int:
    """Six 16-bit words, the first lowest."""
    return sum(w << (16 * i) for i, w in enumerate(words))


@cocotb.test()
async def heads_wait(dut) -> None:
    """Commands come out in order, none before its time, none later than it must."""
    rng = seeded()
    width, depth = parameter("Width"), parameter("Depth")
    Clock(dut.clk_i, 10, "ns").start()
    for name in ("rst_ni", "hold_i", "push_valid_i", "cmd_ready_i", "count_i"):
        getattr(dut, name).value = 0
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    twin, counts, taken = EngineQueue(depth), (0,) * 6, 0
    for _ in range(1500):
        await FallingEdge(dut.clk_i)
        entry = Entry(
            rng.getrandbits(width),
            rng.getrandbits(16),
            tuple(min(65535, max(0, c + rng.randint(-3, 2))) for c in counts),
        )
        push, ready, hold = rng.random() < 0.6, rng.random() < 0.6, rng.random() < 0.1
        dut.push_valid_i.value = push
        dut.push_data_i.value = entry.data
        dut.push_layer_i.value = entry.layer
        dut.push_waits_i.value = packed(entry.waits)
        dut.cmd_ready_i.value = ready
        dut.hold_i.value = hold
        dut.count_i.value = packed(counts)
        await ReadOnly()
        met = twin.met(counts)
        assert bool(dut.push_ready_o.value) == twin.ready
        assert bool(dut.empty_o.value) == (not twin.entries)
        assert bool(dut.cmd_valid_o.value) == (met and not hold)
        assert bool(dut.waiting_o.value) == (bool(twin.entries) and not met)
        room = twin.ready
        if met and not hold:
            assert int(dut.cmd_o.value) == twin.entries[0].data
            assert int(dut.cmd_layer_o.value) == twin.entries[0].layer
            if ready:
                twin.entries.popleft()
                taken += 1
        if push and room:
            twin.entries.append(entry)
        counts = tuple(c + (rng.random() < 0.3) for c in counts)
    assert taken > 200
