"""hb_walk against its twin: every position of random instructions, taken with random stalls."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from runner import parameter
from twins.walk import Position, Walk, positions

FIELDS = {"npix_i": 20, "n_groups_i": 12, "out_w_i": 12, "ox0_i": 12}


def random_walk(rng: random.Random, n: int, y_bits: int, x_bits: int) -> Walk:
    """A tile or several, a row or several, sums that wrap; the smallest sizes often."""
    out_w = rng.choice((1, 2, rng.randint(1, 12)))
    return Walk(
        npix=rng.choice((1, rng.randint(1, 40))),
        n_groups=rng.choice((1, rng.randint(1, 4))),
        out_w=out_w,
        ox0=rng.randrange(out_w),
        y=[(rng.getrandbits(y_bits), rng.getrandbits(y_bits)) for _ in range(n)],
        x=[tuple(rng.getrandbits(x_bits) for _ in range(3)) for _ in range(n)],
    )


def join(values: list[int], bits: int) -> int:
    """A packed array."""
    return sum(v << i * bits for i, v in enumerate(values))


def drive(dut, walk: Walk, y_bits: int, x_bits: int) -> None:
    """Set the fields of an instruction."""
    for name in FIELDS:
        getattr(dut, name).value = getattr(walk, name.removesuffix("_i"))
    for i, name in enumerate(("y_init_i", "y_step_i")):
        getattr(dut, name).value = join([v[i] for v in walk.y], y_bits)
    for i, name in enumerate(("x_init_i", "x_first_i", "x_step_i")):
        getattr(dut, name).value = join([v[i] for v in walk.x], x_bits)


def shown(dut, n: int, y_bits: int, x_bits: int) -> Position:
    """The position at the outputs."""
    y, x = int(dut.y_o.value), int(dut.x_o.value)
    return Position(
        y=tuple(y >> i * y_bits & ((1 << y_bits) - 1) for i in range(n)),
        x=tuple(x >> i * x_bits & ((1 << x_bits) - 1) for i in range(n)),
        channel=int(dut.chan_o.value),
        last_slice=bool(dut.last_slice_o.value),
        last=bool(dut.last_o.value),
    )


@cocotb.test()
async def random_walks(dut) -> None:
    """One instruction after the other; noise at the inputs while none is under way."""
    rng = random.Random(cocotb.RANDOM_SEED)
    dm, dn, r = parameter("Dm"), parameter("Dn"), parameter("R")
    n, y_bits, x_bits = parameter("N"), parameter("YBits"), parameter("XBits")
    dut.rst_ni.value = 0
    dut.start_i.value = 0
    dut.step_i.value = 0
    Clock(dut.clk_i, 10, "ns").start()
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    for _ in range(40):
        for _ in range(rng.randrange(3)):
            drive(dut, random_walk(rng, n, y_bits, x_bits), y_bits, x_bits)
            dut.step_i.value = rng.randrange(2)  # without a position: nothing happens
            await FallingEdge(dut.clk_i)
            assert dut.valid_o.value == 0
        walk, rate = random_walk(rng, n, y_bits, x_bits), rng.choice((0.3, 0.7, 1.0))
        drive(dut, walk, y_bits, x_bits)
        dut.start_i.value = 1
        dut.step_i.value = rng.randrange(2)
        await FallingEdge(dut.clk_i)
        dut.start_i.value = 0
        for i, want in enumerate(positions(dm, dn, r, walk, y_bits, x_bits)):
            step = False
            while not step:
                assert dut.valid_o.value == 1, f"ends at {i} of {walk}"
                got = shown(dut, n, y_bits, x_bits)
                assert got == want, f"position {i} of {walk}: {got}, not {want}"
                step = rng.random() < rate
                dut.step_i.value = step
                await FallingEdge(dut.clk_i)
        assert dut.valid_o.value == 0, f"goes on after {walk}"
