"""hb_sdp_ram against its twin: random lane writes and reads, also of the word being written."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from runner import parameter
from twins.sdp_ram import SdpRam


@cocotb.test()
async def random_traffic(dut) -> None:
    """Addresses from a few words at first, so that reads hit what was written, then from all."""
    rng = random.Random(cocotb.RANDOM_SEED)
    width, granule, depth = parameter("Width"), parameter("Granule"), parameter("Depth")
    reach = 1 << (depth - 1).bit_length()  # addresses beyond the end too, where there are any
    lanes = width // granule
    twin = SdpRam(width, granule, depth)
    dut.wr_en_i.value = 0
    dut.rd_en_i.value = 0
    Clock(dut.clk_i, 10, "ns").start()
    await FallingEdge(dut.clk_i)
    checked = collisions = held = 0
    for i in range(3000):
        span = 4 if i < 1000 else reach
        enables = rng.choice((0, (1 << lanes) - 1, rng.getrandbits(lanes)))
        wr_addr, wr_data = rng.randrange(span), rng.getrandbits(width)
        rd_en = rng.random() < 0.7
        rd_addr = rng.choice((wr_addr, rng.randrange(span)))
        dut.wr_en_i.value = enables
        dut.wr_addr_i.value = wr_addr
        dut.wr_data_i.value = wr_data
        dut.rd_en_i.value = rd_en
        dut.rd_addr_i.value = rd_addr
        await FallingEdge(dut.clk_i)
        twin.cycle(enables, wr_addr, wr_data, rd_addr if rd_en else None)
        want, known = twin.rd_data
        assert int(dut.rd_data_o.value) & known == want & known, f"cycle {i}, word {rd_addr}"
        whole = known == (1 << width) - 1
        checked += whole
        collisions += whole and rd_en and bool(enables) and rd_addr == wr_addr
        held += whole and not rd_en
    assert min(checked, collisions, held) > 100, (checked, collisions, held)
