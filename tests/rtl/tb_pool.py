"""hb_pool against hessbit.sim.units.pool_stream, beat by beat."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from runner import parameter
from store_port import StorePort, random_image

from hessbit.hw.config import AcceleratorConfig
from hessbit.hw.isa import LAYOUT, Opcode, PoolOp, pack_fields
from hessbit.sim.columns import HALF_BIT
from hessbit.sim.units import pool_stream

OVERHEAD = 16  # start, pipeline and end of an instruction in cycles
MAX_TAPS = 1500


def configuration() -> AcceleratorConfig:
    """The sizes of this run, with a small store."""
    return AcceleratorConfig(
        name="test", dm=parameter("Dm"), dn=parameter("Dn"), k=parameter("K"), r=parameter("R"),
        act_rows=128, weight_rows=16, col_rows=4, param_channels=64,
    )  # fmt: skip


def random_fields(rng: random.Random, config: AcceleratorConfig) -> dict[str, int]:
    """Any shape that fits the store; windows may lie partly or wholly outside the map."""
    dm, word = config.dm, config.word
    while True:
        c = 16 * rng.randint(1, 4)
        first = rng.randrange(c // dm)
        n_groups = rng.randint(1, min(4, c // dm - first))
        in_w, in_h, ab = rng.randint(1, 11), rng.randint(1, 11), rng.randint(1, 8)
        kh, kw = rng.choice(((1, 1), (2, 2), (3, 3), (in_h, in_w), (rng.randint(1, 9), 2)))
        out_w, npix = rng.randint(1, 9), rng.randint(1, 20)
        row_words = -(-in_w * c // word) * ab + rng.choice((0, rng.randrange(9)))
        room = config.half_words - in_h * row_words
        beats = npix * n_groups * dm // config.r
        if room >= 0 and beats * kh * kw <= MAX_TAPS:
            break
    fields = {f.name: rng.getrandbits(f.bits) for f in LAYOUT[Opcode.POOL]}  # REQUANT's: anything
    return fields | {
        "npix": npix, "oy0": rng.randrange(4), "ox0": rng.randrange(out_w), "out_w": out_w,
        "n_groups": n_groups, "out_c0": first * dm, "in_c": c, "in_w": in_w, "in_h": in_h, "ab": ab,
        "in_base": rng.choice((0, room, rng.randint(0, room))) | rng.randrange(2) << HALF_BIT,
        "in_row_words": row_words, "kh": kh, "kw": kw,
        "stride_y": rng.randint(1, 3), "stride_x": rng.randint(1, 3),
        "y0": rng.choice((0, -1, -rng.randrange(12), rng.randrange(4))),
        "x0": rng.choice((0, -1, -rng.randrange(12), rng.randrange(4))),
        "pool_op": rng.choice((PoolOp.SUM, PoolOp.MAX)),
    }  # fmt: skip


class Bench:
    """Drives and watches every port of the engine, one cycle a :meth:`cycle`."""

    def __init__(self, dut, rng: random.Random) -> None:
        self.dut, self.rng, self.config = dut, rng, configuration()
        image = random_image(rng, self.config.half_words, self.config.word)
        self.store = StorePort(image, self.config.dm, rng)
        self.got: list[int] = []
        self.waiting: int | None = None

    async def reset(self) -> None:
        """Clock and reset."""
        Clock(self.dut.clk_i, 10, "ns").start()
        for name in ("cmd_valid", "rd_ready", "rd_rsp_valid", "res_ready"):
            getattr(self.dut, f"{name}_i").value = 0
        self.dut.rst_ni.value = 0
        for _ in range(3):
            await FallingEdge(self.dut.clk_i)
        self.dut.rst_ni.value = 1

    async def cycle(self, p_read: float, p_out: float) -> bool:
        """One cycle with these rates of ready; returns ``done_o``."""
        dut, rng = self.dut, self.rng
        read, out = rng.random() < p_read, rng.random() < p_out
        self.store.drive_read(dut, read)
        dut.res_ready_i.value = out
        await ReadOnly()
        self.store.see_read(dut, read)
        now = int(dut.res_data_o.value) if dut.res_valid_o.value == 1 else None
        assert self.waiting in (None, now), "a waiting beat changed"
        self.waiting = None if out else now
        if out and now is not None:
            self.got.append(now)
        done = dut.done_o.value == 1
        await FallingEdge(dut.clk_i)
        return done

    async def run(self, fields: dict[str, int], rates: tuple[float, float]) -> int:
        """Run one instruction, compare its beats; returns cycles from command to ``done_o``."""
        dut = self.dut
        want = [
            sum(int(v) << 32 * i for i, v in enumerate(beat))
            for beat in pool_stream(self.config, fields, self.store.image())
        ]
        self.got = []
        taps = len(want) * fields["kh"] * fields["kw"]
        dut.cmd_valid_i.value = 1
        dut.cmd_i.value = pack_fields(LAYOUT[Opcode.POOL], fields)
        cycles = 0
        while dut.cmd_ready_o.value == 0:
            await self.cycle(*rates)
        while not await self.cycle(*rates):
            dut.cmd_valid_i.value = 0
            dut.cmd_i.value = self.rng.getrandbits(64)
            cycles += 1
            assert cycles < 400 + 30 * (taps + len(want)), f"hangs: {fields}"
        wrong = [i for i, (g, w) in enumerate(zip(self.got, want, strict=False)) if g != w]
        assert len(self.got) == len(want) and not wrong, f"beats {wrong[:4]} differ: {fields}"
        return cycles


@cocotb.test()
async def random_instructions(dut) -> None:
    """Instructions one after the other, with random stalls of the store and of REQUANT."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, rng)
    await bench.reset()
    for _ in range(30):
        rates = (rng.choice((0.2, 0.7, 1.0)), rng.choice((0.1, 0.6, 1.0)))
        await bench.run(random_fields(rng, bench.config), rates)


@cocotb.test()
async def one_tap_a_cycle(dut) -> None:
    """Without stalls an instruction takes its taps and a constant, also with 1 x 1 windows."""
    rng = random.Random(cocotb.RANDOM_SEED + 1)
    bench = Bench(dut, rng)
    await bench.reset()
    worst = 0
    for i in range(8):
        fields = random_fields(rng, bench.config)
        if i % 2:
            fields |= {"kh": 1, "kw": 1}
        beats = fields["npix"] * fields["n_groups"] * bench.config.dm // bench.config.r
        taps = beats * fields["kh"] * fields["kw"]
        cycles = await bench.run(fields, (1.0, 1.0))
        worst = max(worst, cycles - taps)
        assert cycles <= taps + OVERHEAD, f"{cycles} cycles for {taps} taps"
    dut._log.info("at most %d cycles more than taps", worst)


@cocotb.test()
async def large_sum(dut) -> None:
    """A window of 40 x 60 over a map of 255: the sum needs 20 bits."""
    rng = random.Random(cocotb.RANDOM_SEED + 2)
    bench = Bench(dut, rng)
    await bench.reset()
    for half in bench.store.words:
        half[:] = [(1 << bench.config.word) - 1] * len(half)
    fields = random_fields(rng, bench.config) | {
        "npix": 1, "oy0": 0, "ox0": 0, "out_w": 1, "n_groups": 1, "out_c0": 0, "in_c": 16,
        "y0": 0, "x0": 0, "stride_x": 1, "stride_y": 1, "pool_op": PoolOp.SUM,
        "in_base": 0, "in_row_words": 0, "in_h": 40, "in_w": 60, "kh": 40, "kw": 60, "ab": 8,
    }  # fmt: skip
    await bench.run(fields, (1.0, 1.0))
    assert bench.got[0] & 0xFFFFFFFF == 40 * 60 * 255
