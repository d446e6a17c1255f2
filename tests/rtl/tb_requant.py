"""hb_requant against hessbit.sim.units.requant_stream: the whole store is compared."""

from __future__ import annotations

import random
from dataclasses import dataclass

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from runner import parameter
from store_port import StorePort, random_image

from hessbit.hw.config import AcceleratorConfig
from hessbit.hw.isa import OUTPUT, PARAM_FIELDS, Field, pack_fields
from hessbit.numerics import ACC_MAX, ACC_MIN
from hessbit.sim.columns import HALF_BIT, OFFSET_MASK
from hessbit.sim.units import ParamTable, beat_order, requant_stream

LAYOUT = (Field("from_pool", 1, "results come from POOL"), *OUTPUT)
ENTRIES = 128
ENTRY_BITS = sum(f.bits for f in PARAM_FIELDS)
OVERHEAD = 24  # start, pipeline and end of an instruction in cycles, with a residual


def configuration() -> AcceleratorConfig:
    """The sizes of this run, with a small store."""
    return AcceleratorConfig(
        name="test", dm=parameter("Dm"), dn=parameter("Dn"), k=parameter("K"), r=parameter("R"),
        act_rows=128, weight_rows=16, col_rows=4, param_channels=ENTRIES,
    )  # fmt: skip


@dataclass
class Case:
    """One instruction with its operands."""

    fields: dict[str, int]
    results: np.ndarray
    params: ParamTable


def random_params(rng: random.Random, ordinary: bool) -> tuple[ParamTable, np.random.Generator]:
    """Entries of ordinary layers, or anything that the fields can hold."""
    gen = np.random.default_rng(rng.getrandbits(32))
    table = ParamTable.zeros(ENTRIES)

    def draw(lo: int, hi: int) -> np.ndarray:
        any_ = gen.integers(lo, hi + 1, ENTRIES)
        return np.choose(gen.integers(0, 4, ENTRIES), [any_, any_, any_ * 0 + lo, any_ * 0 + hi])

    if ordinary:
        table.bias[:] = gen.integers(-(1 << 15), 1 << 15, ENTRIES)
        table.m[:] = gen.integers(1 << 14, 1 << 16, ENTRIES)
        table.s[:] = gen.integers(22, 26, ENTRIES)
        table.m2[:] = gen.integers(1 << 14, 1 << 16, ENTRIES)
        table.t[:] = gen.integers(6, 9, ENTRIES)
    else:
        table.bias[:] = draw(ACC_MIN, ACC_MAX)
        table.m[:] = draw(-65536, 65535)
        table.s[:] = draw(1, 40)
        table.m2[:] = draw(-65536, 65535)
        table.t[:] = draw(0, 30)
    return table, gen


def random_case(rng: random.Random, config: AcceleratorConfig) -> Case:
    """Any shape that fits the store, the residual elsewhere than the output or in its place."""
    dm, word, half_words = config.dm, config.word, config.half_words
    while True:
        out_c = 16 * rng.randint(1, 4)
        first = rng.randrange(out_c // dm)
        n_groups = rng.randint(1, min(4, out_c // dm - first))
        out_w = rng.randint(1, 11)
        npix, oy0, ox0 = rng.randint(1, 30), rng.randrange(4), rng.randrange(out_w)
        rows = oy0 + -(-(ox0 + npix) // out_w)
        bits, skip_bits = rng.randint(1, 8), rng.randint(1, 8)
        in_place = rng.random() < 0.2
        skip_bits = bits if in_place else skip_bits
        words = -(-out_w * out_c // word)
        sizes = [words * bits, words * skip_bits]
        if not in_place:
            sizes = [s + rng.choice((0, 0, rng.randrange(9))) for s in sizes]
        room = [half_words - rows * s for s in sizes]
        if min(room) < 0:
            continue
        base = [rng.choice((0, n, rng.randint(0, n))) | rng.randrange(2) << HALF_BIT for n in room]
        if in_place:
            base[1] = base[0]
        apart = abs((base[0] & OFFSET_MASK) - (base[1] & OFFSET_MASK)) >= rows * max(sizes)
        if in_place or apart or (base[0] ^ base[1]) >> HALF_BIT:
            break
    lo = rng.choice((0, rng.randrange(1 << bits)))
    fields = {
        "from_pool": rng.randrange(2), "npix": npix, "oy0": oy0, "ox0": ox0, "out_w": out_w,
        "n_groups": n_groups, "p_base": dm * rng.randint(0, ENTRIES // dm - n_groups),
        "out_base": base[0], "out_row_words": sizes[0], "out_c": out_c, "out_c0": first * dm,
        "ob": bits, "zp_out": rng.choice((0, 255, rng.randrange(256))), "lo": lo,
        "hi": rng.choice(((1 << bits) - 1, rng.randrange(lo, 1 << bits))),
        "skip_en": int(in_place or rng.random() < 0.6), "skip_base": base[1],
        "skip_row_words": sizes[1], "skip_bits": skip_bits,
        "skip_zp": rng.choice((0, 255, rng.randrange(256))),
    }  # fmt: skip
    params, gen = random_params(rng, ordinary := rng.random() < 0.6)
    _, channel = beat_order(config, npix, n_groups)
    bias = params.bias[fields["p_base"] + channel[:, None] + np.arange(config.r)]
    if ordinary:
        acc = gen.integers(-(1 << 15), 1 << 16, bias.shape)
    else:
        acc = gen.integers(ACC_MIN, ACC_MAX + 1, bias.shape)
        pick = gen.integers(0, 4, bias.shape)
        acc = np.choose(pick, [acc, acc, acc * 0 + ACC_MIN, acc * 0 + ACC_MAX])
        acc = np.clip(acc, np.maximum(ACC_MIN, ACC_MIN - bias), np.minimum(ACC_MAX, ACC_MAX - bias))
    return Case(fields, acc, params)


class Bench:
    """Drives and watches every port of the engine, one cycle a :meth:`cycle`."""

    def __init__(self, dut, rng: random.Random) -> None:
        self.dut, self.rng, self.config = dut, rng, configuration()
        image = random_image(rng, self.config.half_words, self.config.word)
        self.store = StorePort(image, self.config.dm, rng)
        self.entries = [0] * ENTRIES
        self.beats: list[int] = []
        self.from_pool = 0
        self.waiting_write: tuple[int, ...] | None = None
        self.offered = False

    async def reset(self) -> None:
        """Clock and reset."""
        Clock(self.dut.clk_i, 10, "ns").start()
        for name in ("cmd_valid", "arr_valid", "pool_valid", "rd_ready", "rd_rsp_valid"):
            getattr(self.dut, f"{name}_i").value = 0
        self.dut.wr_ready_i.value = 0
        self.dut.rst_ni.value = 0
        for _ in range(3):
            await FallingEdge(self.dut.clk_i)
        self.dut.rst_ni.value = 1

    async def cycle(self, p_in: float, p_read: float, p_write: float) -> bool:
        """One cycle with these rates of data and ready; returns ``done_o``."""
        dut, rng, r = self.dut, self.rng, self.config.r
        self.offered = bool(self.beats) and (self.offered or rng.random() < p_in)
        mine, other = ("pool", "arr") if self.from_pool else ("arr", "pool")
        getattr(dut, f"{mine}_valid_i").value = self.offered
        getattr(dut, f"{mine}_data_i").value = self.beats[0] if self.offered else 0
        getattr(dut, f"{other}_valid_i").value = 1  # of another instruction: must stay
        getattr(dut, f"{other}_data_i").value = rng.getrandbits(32 * r)
        read, write = rng.random() < p_read, rng.random() < p_write
        self.store.drive_read(dut, read)
        dut.wr_ready_i.value = write
        await ReadOnly()
        assert getattr(dut, f"{other}_ready_o").value == 0, "took a beat of the other stream"
        if self.offered and getattr(dut, f"{mine}_ready_o").value == 1:
            self.beats.pop(0)
            self.offered = False
        self.store.see_read(dut, read)
        self.check_held_write(write)
        self.store.see_write(dut, write)
        row = int(dut.par_rd_addr_o.value) if dut.par_rd_en_o.value == 1 else None
        done = dut.done_o.value == 1
        await FallingEdge(dut.clk_i)
        if row is not None:
            entries = self.entries[row * r : (row + 1) * r]
            dut.par_rd_data_i.value = sum(e << i * ENTRY_BITS for i, e in enumerate(entries))
        return done

    def check_held_write(self, ready: bool) -> None:
        """A write that waits stays as it is."""
        names = ("wr_addr_o", "wr_count_o", "wr_mask_o", "wr_data_o")
        now = None
        if self.dut.wr_valid_o.value == 1:
            now = tuple(int(getattr(self.dut, n).value) for n in names)
        assert self.waiting_write in (None, now), "a waiting write changed"
        self.waiting_write = None if ready else now

    async def run(self, case: Case, rates: tuple[float, float, float]) -> int:
        """Run one instruction, compare the store; returns cycles from command to ``done_o``."""
        dut, config = self.dut, self.config
        want = self.store.image()
        requant_stream(config, case.fields, case.results, case.params, want)
        names = [f.name for f in PARAM_FIELDS if f.name != "reserved"]
        self.entries = [
            pack_fields(
                PARAM_FIELDS,
                {"reserved": 0} | {n: int(getattr(case.params, n)[c]) for n in names},
            )
            for c in range(ENTRIES)
        ]
        self.beats = [
            sum((int(v) & 0xFFFFFFFF) << 32 * i for i, v in enumerate(beat))
            for beat in case.results
        ]
        self.from_pool = case.fields["from_pool"]
        beats, reads, writes = len(self.beats), self.store.reads, self.store.writes
        dut.cmd_valid_i.value = 1
        dut.cmd_i.value = pack_fields(LAYOUT, case.fields)
        cycles = 0
        while dut.cmd_ready_o.value == 0:
            await self.cycle(*rates)
        while not await self.cycle(*rates):
            dut.cmd_valid_i.value = 0
            dut.cmd_i.value = self.rng.getrandbits(64)
            cycles += 1
            assert cycles < 400 + 60 * beats, f"hangs: {case.fields}"
        assert not self.beats, "done before the last beat was taken"
        pixels = case.fields["npix"] * case.fields["n_groups"]
        assert self.store.writes - writes == pixels
        assert self.store.reads - reads == pixels * case.fields["skip_en"]
        got = self.store.image()
        assert np.array_equal(got, want), f"{np.argwhere(got != want)[:4]} {case.fields}"
        return cycles


@cocotb.test()
async def random_instructions(dut) -> None:
    """Instructions one after the other, with random stalls on all streams."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, rng)
    await bench.reset()
    for _ in range(24):
        rates = tuple(rng.choice((0.15, 0.6, 1.0)) for _ in range(3))
        await bench.run(random_case(rng, bench.config), rates)


@cocotb.test()
async def one_beat_a_cycle(dut) -> None:
    """Without stalls an instruction takes its beats and a constant."""
    rng = random.Random(cocotb.RANDOM_SEED + 1)
    bench = Bench(dut, rng)
    await bench.reset()
    worst = 0
    for skip in (0, 1) * 4:
        case = random_case(rng, bench.config)
        while case.fields["skip_en"] != skip:
            case = random_case(rng, bench.config)
        beats = len(case.results)
        cycles = await bench.run(case, (1.0, 1.0, 1.0))
        worst = max(worst, cycles - beats)
        assert cycles <= beats + OVERHEAD, f"{cycles} cycles for {beats} beats"
    dut._log.info("at most %d cycles more than beats", worst)
