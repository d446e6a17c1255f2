"""hb_param_mem against its twin: random writes and reads, also of the row being written."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from runner import parameter
from twins.param_mem import ParamMem

from hessbit.hw.isa import PARAM_FIELDS

BITS = sum(f.bits for f in PARAM_FIELDS)


@cocotb.test()
async def random_traffic(dut) -> None:
    """Addresses from a few rows at first, so that reads hit what was written, then from all."""
    rng = random.Random(cocotb.RANDOM_SEED)
    r, entries = parameter("R"), parameter("ParamChannels")
    Clock(dut.clk_i, 10, "ns").start()
    dut.rst_ni.value = 1
    dut.we_i.value = 0
    dut.rd_en_i.value = 0
    await FallingEdge(dut.clk_i)
    twin = ParamMem(r, entries)
    checked = 0
    for i in range(2000):
        span = 4 * r if i < 500 else entries
        write = (rng.randrange(span), rng.getrandbits(BITS)) if rng.random() < 0.7 else None
        read = rng.randrange(span) // r if rng.random() < 0.7 else None
        dut.we_i.value = write is not None
        dut.waddr_i.value = write[0] if write else rng.randrange(entries)
        dut.wdata_i.value = write[1] if write else rng.getrandbits(BITS)
        dut.rd_en_i.value = read is not None
        dut.rd_addr_i.value = read if read is not None else rng.randrange(entries // r)
        await FallingEdge(dut.clk_i)
        twin.cycle(write, read)
        row = int(dut.rd_data_o.value)
        for lane, want in enumerate(twin.rd_data):
            if want is not None:
                assert row >> lane * BITS & ((1 << BITS) - 1) == want, f"lane {lane}, cycle {i}"
                checked += 1
    assert checked > 1000
