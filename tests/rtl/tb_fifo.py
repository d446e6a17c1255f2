"""hb_fifo against its twin, cycle by cycle, with random stalls on both sides."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from runner import parameter
from twins.fifo import Fifo


@cocotb.test()
async def random_traffic(dut) -> None:
    """Each phase has other rates of pushing and popping, so that it runs empty and full."""
    rng = random.Random(cocotb.RANDOM_SEED)
    width, depth = parameter("Width"), parameter("Depth")
    Clock(dut.clk_i, 10, "ns").start()
    dut.rst_ni.value = 0
    dut.in_valid_i.value = 0
    dut.in_data_i.value = 0
    dut.out_ready_i.value = 0
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    twin = Fifo(depth)
    for _ in range(20):
        p_in, p_out = rng.choice((0.1, 0.5, 1.0)), rng.choice((0.1, 0.5, 1.0))
        for _ in range(60):
            valid, ready = rng.random() < p_in, rng.random() < p_out
            data = rng.getrandbits(width)
            dut.in_valid_i.value = valid
            dut.in_data_i.value = data
            dut.out_ready_i.value = ready
            assert bool(dut.in_ready_o.value) == twin.in_ready
            assert bool(dut.out_valid_o.value) == twin.out_valid
            if twin.out_valid:
                assert int(dut.out_data_o.value) == twin.out_data
            twin.cycle(valid, data, ready)
            await FallingEdge(dut.clk_i)
