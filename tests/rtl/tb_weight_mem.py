"""hb_weight_mem against its twin: writes and reads at once, random en, both modes."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from runner import parameter
from twins.weight_mem import WeightMem


@cocotb.test()
async def random_traffic(dut) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    dm, k, rows = parameter("Dm"), parameter("K"), parameter("WeightRows")
    twin = WeightMem(dm=dm, k=k)
    Clock(dut.clk_i, 10, "ns").start()
    dut.rst_ni.value = 1
    addresses = [0, rows - 1, *rng.sample(range(1, rows - 1), 6)]
    fill = [(a, c) for a in addresses for c in range(dm * k // 64)]
    checked = 0
    await FallingEdge(dut.clk_i)
    for n in range(len(fill) + 4000):
        write = None
        if n < len(fill) or rng.random() < 0.5:
            where = fill[n] if n < len(fill) else rng.choice(fill)
            write = (*where, rng.getrandbits(64))
            dut.waddr_i.value, dut.wchunk_i.value, dut.wdata_i.value = write
        dut.we_i.value = int(write is not None)
        en, mode, odd = rng.random() < 0.7, rng.randint(0, 1), rng.randint(0, 1)
        address = rng.choice(addresses)
        dut.en_i.value = en
        dut.rd_addr_i.value = address
        dut.rd_mode_i.value = mode
        dut.rd_odd_i.value = odd
        twin.cycle(write=write, en=en, address=address, mode=mode, odd=odd)
        await FallingEdge(dut.clk_i)
        if twin.data is not None:
            checked += 1
            assert int(dut.rd_data_o.value) == twin.data
    assert checked > 1000
