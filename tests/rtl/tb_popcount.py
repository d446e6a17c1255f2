"""hb_popcount against its twin: random words of every density and the corners."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import Timer
from runner import parameter
from twins.popcount import popcount


@cocotb.test()
async def counts_ones(dut) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    width = parameter("Width")
    words = [
        0,
        2**width - 1,
        *(1 << b for b in range(width)),
        *((1 << b) - 1 for b in range(width)),
    ]
    for _ in range(2000):
        density = rng.random()
        words.append(sum((rng.random() < density) << b for b in range(width)))
    for word in words:
        dut.data_i.value = word
        await Timer(1, "ns")
        assert int(dut.count_o.value) == popcount(word), f"{word:#x}"
