"""hb_skip against its twin: every fetch and every byte, with random stalls on both sides."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from runner import parameter
from store_port import StorePort, random_image
from twins.skip import residual

from hessbit.hw.isa import OUTPUT, Field, pack_fields
from hessbit.sim.columns import HALF_BIT

LAYOUT = (Field("from_pool", 1, "results come from POOL"), *OUTPUT)
HALF_WORDS = 512
LATENCY = 6  # cycles from start_i to the first bytes


def random_fields(rng: random.Random, dm: int, word: int) -> dict[str, int]:
    """Any shape that fits the store; fields that the module does not use hold noise."""
    while True:
        out_c = 16 * rng.randint(1, 4)
        first = rng.randrange(out_c // dm)
        out_w = rng.randint(1, 11)
        npix, oy0, ox0 = rng.randint(1, 40), rng.randrange(4), rng.randrange(out_w)
        bits = rng.randint(1, 8)
        row_words = -(-out_w * out_c // word) * bits + rng.choice((0, rng.randrange(9)))
        rows = oy0 + -(-(ox0 + npix) // out_w)
        room = HALF_WORDS - rows * row_words
        if room >= 0:
            break
    return {f.name: rng.getrandbits(f.bits) for f in LAYOUT} | {
        "npix": npix, "oy0": oy0, "ox0": ox0, "out_w": out_w,
        "n_groups": rng.randint(1, min(4, out_c // dm - first)),
        "out_c": out_c, "out_c0": first * dm, "skip_bits": bits, "skip_row_words": row_words,
        "skip_base": rng.choice((0, room, rng.randint(0, room))) | rng.randrange(2) << HALF_BIT,
    }  # fmt: skip


class Bench:
    """The prefetcher between a store and a reader of its bytes."""

    def __init__(self, dut, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.dm, self.dn, self.word = parameter("Dm"), parameter("Dn"), parameter("W")
        self.image = random_image(rng, HALF_WORDS, self.word)
        self.store = StorePort(self.image, self.dm, rng)

    async def reset(self) -> None:
        """Clock and reset."""
        dut = self.dut
        for port in (dut.rst_ni, dut.start_i, dut.rd_ready_i, dut.rd_rsp_valid_i, dut.out_ready_i):
            port.value = 0
        Clock(dut.clk_i, 10, "ns").start()
        for _ in range(3):
            await FallingEdge(dut.clk_i)
        dut.rst_ni.value = 1

    async def cycle(
        self, p_read: float, p_out: float
    ) -> tuple[int | None, int | None, tuple[int, ...] | None]:
        """One cycle; the address on offer, the one granted, the bytes taken."""
        dut, rng = self.dut, self.rng
        grant, ready = rng.random() < p_read, rng.random() < p_out
        self.store.drive_read(dut, grant)
        dut.out_ready_i.value = ready
        await ReadOnly()
        address = int(dut.rd_addr_o.value) if dut.rd_valid_o.value == 1 else None
        taken = None
        if ready and dut.out_valid_o.value == 1:
            taken = tuple(int(dut.out_data_o.value).to_bytes(self.dm, "little"))
        self.store.see_read(dut, grant)
        await FallingEdge(dut.clk_i)
        return address, address if grant else None, taken

    async def run(self, fields: dict[str, int], rates: tuple[float, float]) -> int:
        """Run one instruction and a few cycles more; returns cycles after ``start_i``."""
        dut = self.dut
        addresses, values = residual(self.dm, self.dn, fields, self.image)
        dut.cmd_i.value = pack_fields(LAYOUT, fields)
        dut.y_init_i.value = fields["oy0"] * fields["skip_row_words"]
        dut.x_init_i.value = fields["ox0"] * fields["out_c"] + fields["out_c0"]
        dut.start_i.value = 1
        fetched = taken = cycles = 0
        last_cycle, waiting = 0, None
        while taken < len(values) or cycles < last_cycle + 10:
            address, granted, got = await self.cycle(*rates)
            dut.start_i.value = 0
            assert waiting in (None, address), "a waiting fetch changed"
            waiting = address if granted is None else None
            if granted is not None:
                assert fetched < len(addresses), f"one fetch too many: {fields}"
                assert granted == addresses[fetched], f"fetch {fetched} of {fields}"
                fetched += 1
            if got is not None:
                assert taken < len(values), f"bytes too many: {fields}"
                assert got == values[taken], f"bytes {taken} of {fields}"
                taken += 1
                last_cycle = cycles
            cycles += 1
            assert cycles < 400 + 60 * len(values), f"hangs: {fields}"
        return last_cycle


@cocotb.test()
async def random_instructions(dut) -> None:
    """Instructions one after the other, with random stalls on both sides."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, rng)
    await bench.reset()
    for _ in range(30):
        rates = (rng.choice((0.2, 0.6, 1.0)), rng.choice((0.2, 0.6, 1.0)))
        await bench.run(random_fields(rng, bench.dm, bench.word), rates)


@cocotb.test()
async def one_pixel_a_cycle(dut) -> None:
    """Without stalls the bytes of a pixel come every cycle after the latency."""
    rng = random.Random(cocotb.RANDOM_SEED + 1)
    bench = Bench(dut, rng)
    await bench.reset()
    for _ in range(6):
        fields = random_fields(rng, bench.dm, bench.word)
        last = await bench.run(fields, (1.0, 1.0))
        assert last == LATENCY + fields["npix"] * fields["n_groups"] - 1
