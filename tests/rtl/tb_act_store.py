"""hb_act_store against its twin: grants, answers and contents in every cycle."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from runner import parameter
from twins.act_store import ActStore


def field(values: list[int], width: int) -> int:
    """Values side by side, the first lowest."""
    return sum(v << i * width for i, v in enumerate(values))


@cocotb.test()
async def random_traffic(dut) -> None:
    """Reads and writes in a few rows at both ends of both halves, so that they meet often."""
    rng = random.Random(cocotb.RANDOM_SEED)
    w, dm, rows = parameter("W"), parameter("Dm"), parameter("ActRows")
    twin = ActStore(w, dm, 8 * rows)
    Clock(dut.clk_i, 10, "ns").start()
    dut.rst_ni.value = 0
    dut.rd_valid_i.value = 0
    dut.wr_valid_i.value = 0
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1

    def offset(span: int) -> int:
        start = rng.choice((0, 8 * rows - 48))
        return rng.randrange(2) << 15 | start + rng.randrange(48 - span)

    def write(p: float) -> tuple[int, int, int, list[int]] | None:
        if rng.random() >= p:
            return None
        mask = rng.choice((rng.getrandbits(w // dm), (1 << w // dm) - 1))
        return offset(8), rng.randint(1, 8), mask, [rng.getrandbits(w) for _ in range(8)]

    # fill what the traffic will read
    plan = [
        (half << 15 | start + i, 8, (1 << w // dm) - 1, [rng.getrandbits(w) for _ in range(8)])
        for half in range(2) for start in (0, 8 * rows - 48) for i in range(0, 48, 8)
    ]  # fmt: skip
    reads: list[int | None] = [None] * 4
    writes: list[tuple[int, int, int, list[int]] | None] = [None] * 2
    answered = 0
    for cycle in range(1500):
        p_read, p_write = rng.choice((0.2, 0.9)), rng.choice((0.1, 0.9))
        for i in range(4):  # a request stays until it is granted
            if cycle >= len(plan) and reads[i] is None and rng.random() < p_read:
                reads[i] = offset(0)
        for i in range(2):
            if cycle < len(plan):
                writes[i] = plan[cycle] if i == cycle % 2 else None
            elif writes[i] is None:
                writes[i] = write(p_write)
        dut.rd_valid_i.value = field([r is not None for r in reads], 1)
        dut.rd_addr_i.value = field([rng.getrandbits(16) if r is None else r for r in reads], 16)
        dut.wr_valid_i.value = field([x is not None for x in writes], 1)
        shown = [x or (rng.getrandbits(16), 8, 0, [0] * 8) for x in writes]
        dut.wr_addr_i.value = field([x[0] for x in shown], 16)
        dut.wr_count_i.value = field([x[1] for x in shown], 4)
        dut.wr_mask_i.value = field([x[2] for x in shown], w // dm)
        dut.wr_data_i.value = field([field(x[3], w) for x in shown], 8 * w)
        granted = twin.grants(reads)
        accepted = twin.grants([None if x is None else x[0] for x in writes])
        expected = twin.cycle(reads, writes)
        await FallingEdge(dut.clk_i)
        assert int(dut.rd_ready_o.value) == field(granted, 1), f"read grants in cycle {cycle}"
        assert int(dut.wr_ready_o.value) == field(accepted, 1), f"write grants in cycle {cycle}"
        reads = [None if ok else r for r, ok in zip(reads, granted, strict=True)]
        writes = [None if ok else x for x, ok in zip(writes, accepted, strict=True)]
        assert int(dut.rd_rsp_valid_o.value) == sum(1 << r.reader for r in expected)
        data = int(dut.rd_data_o.value) if expected else 0
        for read in expected:
            for j, word in enumerate(read.words):
                got = data >> (read.reader * 8 + j) * w & (1 << w) - 1
                assert word is None or got == word, f"cycle {cycle} reader {read.reader} word {j}"
                answered += 1
    assert answered > 4000
