"""hb_store against its twin: random maps, stalls of the activation store and of DDR."""

from __future__ import annotations

import random
from collections import deque

import cocotb
from bus import seeded
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from runner import parameter
from twins.store import stored_bytes

from hessbit.hw.isa import LAYOUT, Opcode, pack_fields

BASES = (0x12_3456_7000, 0x00_1000_0000, 0xFE_0000_0008)


def word_at(address: int) -> int:
    """Contents of the activation store."""
    return random.Random(address).getrandbits(parameter("W"))


async def one(dut, rng: random.Random, p_store: float, p_mem: float) -> tuple[int, int]:
    """Run one command and check its bytes; cycles and beats."""
    word = parameter("W")
    fields = {
        "base": rng.randrange(3), "ddr": 8 * rng.getrandbits(28), "src": rng.getrandbits(16),
        "rows": rng.randint(1, 5), "row_lanes": 16 * rng.randint(1, 12), "bits": rng.randint(1, 8),
    }  # fmt: skip
    want = stored_bytes(fields, word_at, word)
    dut.cmd_i.value = pack_fields(LAYOUT[Opcode.STORE], fields)
    dut.cmd_valid_i.value = 1
    got, asked, answer_in, cycles = b"", False, rng.randint(1, 20), 0
    reads: deque[int | None] = deque([None, None])
    while True:
        granted, taken = rng.random() < p_store, rng.random() < p_mem
        dut.rd_ready_i.value = granted
        address = reads.popleft()
        dut.rd_rsp_valid_i.value = address is not None
        dut.rd_data_i.value = (
            rng.getrandbits(8 * word)
            if address is None
            else sum(word_at(address + i & 0xFFFF) << (word * i) for i in range(8))
        )
        dut.req_ready_i.value = taken
        dut.data_ready_i.value = asked and taken
        if len(got) == len(want):
            answer_in -= 1
        answered = answer_in == 0
        dut.wr_done_i.value = answered
        await ReadOnly()
        accepted = bool(dut.cmd_valid_i.value) and bool(dut.cmd_ready_o.value)
        reads.append(int(dut.rd_addr_o.value) if dut.rd_valid_o.value and granted else None)
        if dut.data_valid_o.value and asked and taken:
            got += int(dut.data_o.value).to_bytes(8, "little")
        if dut.req_valid_o.value and taken:
            assert not asked
            asked = True
            assert int(dut.req_addr_o.value) == BASES[fields["base"]] + fields["ddr"]
            assert int(dut.req_beats_o.value) == len(want) // 8
        if dut.done_o.value:
            assert answer_in < 0, "done before the answers"
            break
        await FallingEdge(dut.clk_i)
        cycles += len(got) < len(want)
        if accepted:
            dut.cmd_valid_i.value = 0
        assert cycles < 20000, "STORE does not end"
    await FallingEdge(dut.clk_i)
    assert got == want
    return cycles, len(want) // 8


async def start(dut) -> None:
    """Reset."""
    Clock(dut.clk_i, 10, "ns").start()
    for name in ("rst_ni", "cmd_valid_i", "rd_ready_i", "rd_rsp_valid_i", "req_ready_i",
                 "data_ready_i", "wr_done_i"):  # fmt: skip
        getattr(dut, name).value = 0
    dut.base_i.value = sum(b << (40 * i) for i, b in enumerate(BASES))
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    await FallingEdge(dut.clk_i)


@cocotb.test()
async def random_commands(dut) -> None:
    """Maps with stalls on both sides."""
    rng = seeded()
    await start(dut)
    for _ in range(30):
        await one(dut, rng, rng.choice((0.3, 0.8, 1.0)), rng.choice((0.3, 0.8, 1.0)))


@cocotb.test()
async def full_rate(dut) -> None:
    """Without stalls: a beat a cycle and at most 8 cycles before the first."""
    rng = seeded()
    await start(dut)
    for _ in range(20):
        cycles, beats = await one(dut, rng, 1.0, 1.0)
        assert cycles <= beats + 8
