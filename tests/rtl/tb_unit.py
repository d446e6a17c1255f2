"""hb_unit against its twin, with controls of every kind and results past 32 bits."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from runner import parameter
from twins.unit import Unit

CONTROLS = {
    "count_valid": 0.8,
    "sum_valid": 0.8,
    "sum_mode": 0.5,
    "acc_valid": 0.8,
    "acc_first": 0.05,
    "acc_shift": 0.4,
    "acc_neg": 0.3,
    "acc_last": 0.5,
}


@cocotb.test()
async def random_steps(dut) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    half = parameter("K") // 2
    twin = Unit()
    Clock(dut.clk_i, 10, "ns").start()
    await FallingEdge(dut.clk_i)
    for n in range(4000):
        en = n < 4 or rng.random() < 0.8
        controls = {name: int(rng.random() < p) for name, p in CONTROLS.items()}
        if n < 4:  # out of the unknown
            controls |= {"count_valid": 1, "sum_valid": 1, "acc_valid": 1, "acc_first": 1}
            controls |= {"acc_last": 1}
        a, b, c, d = (
            2**half - 1 if rng.random() < 0.3 else rng.getrandbits(half) for _ in range(4)
        )
        dut.en_i.value = en
        dut.wgt_low_i.value, dut.col_low_i.value = a, b
        dut.wgt_high_i.value, dut.col_high_i.value = c, d
        for name, value in controls.items():
            getattr(dut, f"{name}_i").value = value
        await FallingEdge(dut.clk_i)
        if en:
            twin.cycle(low=a & b, high=c & d, **controls)
        if n >= 4:
            assert int(dut.res_o.value) == twin.res
