"""hb_col_mem against its twin: random writes, reads in both modes, random en_i."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from runner import parameter
from twins.col_mem import ColMem


def field(values: list[int], width: int) -> int:
    """Values side by side, the first lowest."""
    return sum(v << i * width for i, v in enumerate(values))


@cocotb.test()
async def random_traffic(dut) -> None:
    """Writes and reads in the first and last few rows; the answer is two enabled cycles late."""
    rng = random.Random(cocotb.RANDOM_SEED)
    dn, w, rows = parameter("Dn"), parameter("W"), parameter("ColRows")
    twin = ColMem(dn, w, rows)
    places = [*range(10), *range(rows // 2 - 4, rows // 2 + 6), *range(rows - 10, rows)]
    Clock(dut.clk_i, 10, "ns").start()
    dut.rst_ni.value = 0
    dut.we_i.value = 0
    dut.en_i.value = 0
    dut.rd_mode_i.value = 0
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    fill = [(c, r, o) for c in range(dn) for r in places for o in (0, 1)]
    pipe: list[list[int] | None] = [None, None]
    compared = 0
    for cycle in range(len(fill) + 1500):
        filling = cycle < len(fill)
        column, place, odd = rng.randrange(dn), rng.choice(places), rng.randrange(2)
        if filling:
            column, place, odd = fill[cycle]
        we = filling or rng.random() < 0.6
        planes = [rng.getrandbits(w) for _ in range(4)]
        dut.we_i.value = we
        dut.wr_col_i.value = column
        dut.wr_row_i.value = place
        dut.wr_odd_i.value = odd
        dut.wr_data_i.value = field(planes, w)
        write = (column, place, odd, planes)
        en, mode = rng.random() < 0.8 and not filling, rng.randrange(2)
        row = rng.choice([p for p in places if p + 1 in places])
        odd = rng.randrange(2) if mode else 0
        plane = rng.choice((0, 2)) if mode else rng.randrange(4)
        hi = rng.randrange(2)
        dut.en_i.value = en
        dut.rd_mode_i.value = mode
        dut.rd_row_i.value = row
        dut.rd_odd_i.value = odd
        dut.rd_plane_i.value = plane
        dut.rd_hi_valid_i.value = hi
        if en:
            pipe = [twin.read(row, odd, plane, mode, hi), pipe[0]]
        if we:  # after the read of the same cycle: it returns the old words
            twin.write(*write)
        await FallingEdge(dut.clk_i)
        if pipe[1] is not None:
            assert int(dut.rd_data_o.value) == field(pipe[1], w), f"cycle {cycle}"
            compared += 1
    assert compared > 1000
