"""hb_array_ctrl, hb_array, hb_weight_mem and hb_col_mem together, against twins.array and numpy."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from runner import parameter
from twins.array import Conv, Ints, column_row, cycles, planes_of, results, stride, weight_image
from twins.buffers import TileBuffers

DM, DN, K, R = (parameter(n) for n in ("Dm", "Dn", "K", "R"))
WEIGHT_ROWS, COL_ROWS = parameter("WeightRows"), parameter("ColRows")
W = K // 2
FIELDS = ("npix", "n_groups", "kwords", "wb", "ab", "bipolar", "lane_mode", "w_base", "w_stride")
Writes = Iterator[dict[str, int]]


def random_command(rng: random.Random, w_base: int) -> Conv:
    """Any legal command whose weights fit half the memory."""
    bipolar = int(rng.random() < 0.2)
    wb, ab = 1 if bipolar else rng.randint(1, 8), rng.randint(1, 8)
    n_groups, mode = rng.randint(1, 3), rng.randint(0, 1)
    most = min(20, COL_ROWS // 2 // ((ab + 3) // 4))
    kwords = rng.randint(1, most if rng.random() < 0.3 else min(4, most))
    while n_groups * stride(wb, kwords, mode) > WEIGHT_ROWS // 2:
        kwords -= 1
    return Conv(
        npix=rng.randint(1, 3 * DN),
        n_groups=n_groups,
        kwords=kwords,
        wb=wb,
        ab=ab,
        bipolar=bipolar,
        lane_mode=mode,
        w_base=w_base,
        w_stride=stride(wb, kwords, mode),
    )


class Case:
    """One command with its data and the writes that bring it in."""

    def __init__(self, rng: random.Random, command: Conv) -> None:
        c = self.command = command
        gen = np.random.default_rng(rng.getrandbits(32))
        lanes = c.kwords * W
        if c.bipolar:
            self.weights = gen.integers(0, 2, (c.n_groups * DM, lanes)) * 2 - 1
        else:
            self.weights = gen.integers(
                -(2 ** (c.wb - 1)), 2 ** (c.wb - 1), (c.n_groups * DM, lanes)
            )
        self.columns: Ints = gen.integers(0, 2**c.ab, (c.npix, lanes))
        if rng.random() < 0.2:  # the extremes
            self.columns[:] = 2**c.ab - 1
        self.expected = results(c, self.weights, self.columns, dm=DM, dn=DN, word=W)
        self.check_against_matmul()

    def check_against_matmul(self) -> None:
        """The twin, which counts bits, agrees with the plain product."""
        product = self.columns @ self.weights.T
        flat: list[int] = []
        for p in range(0, self.command.npix, DN):
            for g in range(self.command.n_groups):
                flat += product[p : p + DN, g * DM : (g + 1) * DM].ravel().tolist()
        assert flat == self.expected

    def weight_writes(self) -> Writes:
        """Chunks of 64 bits; a word's unused half arrives as zero."""
        for address, value in weight_image(self.command, self.weights, dm=DM, k=K).items():
            for chunk in range(DM * K // 64):
                data = value >> (64 * chunk) & (2**64 - 1)
                yield {"we_i": 1, "waddr_i": address, "wchunk_i": chunk, "wdata_i": data}

    def column_writes(self, tile: int, tile_row: int) -> Writes:
        """Quads of planes of one tile."""
        c = self.command
        columns = self.columns[tile * DN : (tile + 1) * DN]
        quads = (c.ab + 3) // 4
        planes = planes_of(columns, 4 * quads).reshape(4 * quads, len(columns), c.kwords, W)
        packed = np.packbits(planes, axis=-1, bitorder="little")
        for n in range(len(columns)):
            for q in range(quads):
                for k in range(c.kwords):
                    data = packed[4 * q : 4 * q + 4, n, k].tobytes()
                    yield {
                        "a_we_i": 1,
                        "a_col_i": n,
                        "a_row_i": column_row(c, tile_row, 4 * q, k),
                        "a_odd_i": k % 2,
                        "a_data_i": int.from_bytes(data, "little"),
                    }


class Bench:
    """Drives at the falling edge, samples just after; one object for all agents."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.now: dict[str, int] = {}
        self.cycle = 0

    def drive(self, values: dict[str, int]) -> None:
        """Set the inputs named, where they change."""
        for name, value in values.items():
            if self.now.get(name) != value:
                self.now[name] = value
                getattr(self.dut, name).value = value

    async def reset(self) -> None:
        """Start the clock and reset with all inputs low."""
        Clock(self.dut.clk_i, 10, "ns").start()
        self.drive({f"{name}_i": 0 for name in FIELDS if name not in ("wb", "ab")})
        self.drive({"wb_i": 0, "ab_i": 0, "cmd_valid_i": 0, "tile_done_i": 0, "res_ready_i": 0})
        self.drive({"we_i": 0, "waddr_i": 0, "wchunk_i": 0, "wdata_i": 0})
        self.drive({"a_we_i": 0, "a_col_i": 0, "a_row_i": 0, "a_odd_i": 0, "a_data_i": 0})
        self.drive({"rst_ni": 0})
        for _ in range(3):
            await FallingEdge(self.dut.clk_i)
        self.drive({"rst_ni": 1})

    def command(self, c: Conv | None) -> None:
        """Offer a command or none."""
        self.drive({"cmd_valid_i": int(c is not None)})
        if c is not None:
            self.drive({f"{name}_i": getattr(c, name) for name in FIELDS})

    async def settle(self) -> None:
        """Let the combinational outputs follow, before sampling."""
        await ReadOnly()

    async def step(self) -> None:
        """To the next falling edge."""
        await FallingEdge(self.dut.clk_i)
        self.cycle += 1
        assert self.cycle < 200_000, "the array does not finish"


def results_of(dut) -> list[int]:
    """The R signed results of the beat on the stream."""
    data = int(dut.res_data_o.value)
    return np.frombuffer(data.to_bytes(R * 4, "little"), "<i4").tolist()


async def traffic(
    dut, cases: list[Case], rng: random.Random, *, p_ready: float, p_tile: float
) -> None:
    """Run the cases; weights of the next and columns of the next tile arrive meanwhile."""
    bench = Bench(dut)
    await bench.reset()
    tiles = deque((case, t) for case in cases for t in range(-(-case.command.npix // DN)))
    loading = deque(enumerate(cases))
    offered: deque[Conv] = deque()
    expected = [value for case in cases for value in case.expected]
    got: list[int] = []
    used, done, n_tiles = 0, 0, len(tiles)
    buffers, entered = TileBuffers(COL_ROWS), None
    freed = 0
    weights: Writes = iter(())
    loaded: Conv | None = None
    columns: Writes = iter(())
    filling = False
    while len(got) < len(expected) or done < len(cases):
        # weights: two halves in turn, overwritten as soon as the instruction before last is done
        write = next(weights, None)
        if write is None and loaded is not None:
            offered.append(loaded)
            loaded = None
        if write is None and loading and done >= loading[0][0] - 1:
            _, case = loading.popleft()
            weights, loaded = case.weight_writes(), case.command
            write = next(weights)
        bench.drive(write or {"we_i": 0})
        # columns: overwritten as soon as the buffer is free
        tile_done = 0
        write = next(columns, None)
        if write is None and filling and rng.random() < p_tile:
            filling, tile_done = False, 1
        elif write is None and not filling and tiles:
            case, t = tiles[0]
            if case is not entered:
                buffers.enter(case.command.ab, case.command.kwords)
                entered = case
            if buffers.room(used):
                tiles.popleft()
                columns, filling = case.column_writes(t, buffers.take()), True
                used += 1
                write = next(columns)
        bench.drive(write or {"a_we_i": 0})
        bench.drive({"tile_done_i": tile_done, "res_ready_i": int(rng.random() < p_ready)})
        bench.command(offered[0] if offered else None)
        await bench.settle()
        if offered and dut.cmd_ready_o.value == 1:
            offered.popleft()
        if dut.tile_free_o.value == 1:
            used -= 1
            freed += 1
        if dut.done_o.value == 1:
            done += 1
        if dut.res_valid_o.value == 1 and bench.now["res_ready_i"]:
            beat = results_of(dut)
            assert beat == expected[len(got) : len(got) + R], f"beat {len(got) // R}"
            got += beat
        await bench.step()
    bench.drive({"res_ready_i": 1})
    for _ in range(20):
        await bench.step()
        assert dut.res_valid_o.value == 0, "more results than expected"
    assert dut.busy_o.value == 0
    assert (freed, done) == (n_tiles, len(cases))


def random_cases(rng: random.Random, n: int) -> list[Case]:
    """Commands whose weights lie in the two halves of the memory in turn."""
    return [Case(rng, random_command(rng, i % 2 * (WEIGHT_ROWS // 2))) for i in range(n)]


@cocotb.test()
async def results_without_stalls(dut) -> None:
    """The exact result stream, with a consumer that always takes."""
    rng = random.Random(cocotb.RANDOM_SEED)
    await traffic(dut, random_cases(rng, 12), rng, p_ready=1.0, p_tile=1.0)


@cocotb.test()
async def results_with_stalls(dut) -> None:
    """The same with a slow consumer and late tiles."""
    rng = random.Random(cocotb.RANDOM_SEED + 1)
    for p_ready, p_tile in ((0.5, 0.3), (0.1, 1.0)):
        await traffic(dut, random_cases(rng, 8), rng, p_ready=p_ready, p_tile=p_tile)


@cocotb.test()
async def one_bit_shapes(dut) -> None:
    """wb = 1 in both lane modes (empty steps), bipolar and not, for every ab."""
    rng = random.Random(cocotb.RANDOM_SEED + 2)
    cases = []
    for n in range(16):
        mode = n % 2
        base = n % 2 * (WEIGHT_ROWS // 2)
        kwords = rng.randint(1, 3)
        c = Conv(rng.randint(1, DN + 1), 1, kwords, 1, n // 2 + 1, rng.randint(0, 1), mode, base, 0)
        cases.append(Case(rng, c))
    await traffic(dut, cases, rng, p_ready=0.8, p_tile=1.0)


@cocotb.test()
async def no_bubbles(dut) -> None:
    """With full tiles, ready commands and a ready consumer the cycles are those of the formula."""
    rng = random.Random(cocotb.RANDOM_SEED + 3)
    bench = Bench(dut)
    await bench.reset()
    for _ in range(12):
        commands = [random_command(rng, 0) for _ in range(4)]
        tiles = sum(-(-c.npix // DN) for c in commands)
        beats = sum(c.npix * c.n_groups * DM // R for c in commands)
        offered, full = deque(commands), 0
        start = bench.cycle
        done = last = seen = 0
        while seen < beats or done < len(commands):
            give = int(tiles > 0 and full < 2)
            tiles -= give
            full += give
            bench.drive({"tile_done_i": give, "res_ready_i": 1})
            bench.command(offered[0] if offered and bench.cycle > start + 1 else None)
            await bench.settle()
            if bench.now["cmd_valid_i"] and dut.cmd_ready_o.value == 1:
                offered.popleft()
                if len(offered) == len(commands) - 1:
                    accepted = bench.cycle
            full -= int(dut.tile_free_o.value)
            done += int(dut.done_o.value)
            if dut.res_valid_o.value == 1:
                seen += 1
                last = bench.cycle
            await bench.step()
        # 8 cycles of pipeline around the steps and the beats of the drain.
        taken = last - accepted - 8
        expected = cycles(commands, dm=DM, dn=DN, r=R)
        short = [c for c in commands if c.steps * c.n_groups < 7]
        if short:  # buffers come back 4 cycles after the last step was issued
            assert expected <= taken <= expected + 6 * sum(-(-c.npix // DN) for c in short)
        else:
            assert taken == expected, (taken, expected, commands)
