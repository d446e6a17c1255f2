"""hb_pack against its twin, cycle by cycle, with random stalls on both sides."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from runner import parameter
from twins.pack import Pack, Write


def check_write(dut, want: Write, bits: int, dm: int, w: int) -> None:
    """The write on offer: place, flags, and the planes within the mask."""
    assert int(dut.wr_addr_o.value) == want.address
    assert int(dut.wr_count_o.value) == bits
    assert int(dut.wr_mask_o.value) == 1 << want.granule
    assert bool(dut.wr_last_o.value) == want.last
    data = int(dut.wr_data_o.value)
    for p in range(bits):
        got = data >> p * w + want.granule * dm & ((1 << dm) - 1)
        assert got == want.plane(p), f"plane {p} of {want}"


@cocotb.test()
async def random_slices(dut) -> None:
    """Phases with other rates of slices and writes and another number of planes."""
    rng = random.Random(cocotb.RANDOM_SEED)
    dm, w, r = parameter("Dm"), parameter("W"), parameter("R")
    slices = dm // r
    dut.rst_ni.value = 0
    dut.in_valid_i.value = 0
    dut.wr_ready_i.value = 0
    dut.bits_i.value = 1
    Clock(dut.clk_i, 10, "ns").start()
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    twin = Pack()
    at = writes = 0
    for phase in range(24):
        bits = phase % 8 + 1
        p_in, p_out = rng.choice((0.2, 0.6, 1.0)), rng.choice((0.2, 0.6, 1.0))
        left = 15 * slices  # slices of this phase, then its last write goes out
        while left or twin.write is not None:
            valid, ready = left > 0 and rng.random() < p_in, rng.random() < p_out
            beat = [rng.getrandbits(8) for _ in range(r)]
            last_slice = at == slices - 1
            last = rng.random() < 0.5
            # Of all but the last slice, address, granule and flag are noise.
            place = (rng.getrandbits(16), rng.randrange(w // dm))
            dut.in_valid_i.value = valid
            dut.in_data_i.value = sum(v << 8 * i for i, v in enumerate(beat))
            dut.in_last_slice_i.value = last_slice if valid else rng.randrange(2)
            dut.in_last_i.value = last
            dut.in_addr_i.value, dut.in_sel_i.value = place
            dut.bits_i.value = bits
            dut.wr_ready_i.value = ready
            await ReadOnly()
            take = twin.in_ready(ready)
            assert bool(dut.in_ready_o.value) == take
            assert bool(dut.wr_valid_o.value) == (twin.write is not None)
            if twin.write is not None:
                check_write(dut, twin.write, bits, dm, w)
                writes += ready
            twin.cycle(beat if valid else None, last_slice, last, place, ready)
            if valid and take:
                at = (at + 1) % slices
                left -= 1
            await FallingEdge(dut.clk_i)
    assert writes == 24 * 15
