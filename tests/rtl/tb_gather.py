"""hb_gather against the columns of its twin, in a model of the store, the columns and ARRAY."""

from __future__ import annotations

import random
from collections import deque
from itertools import pairwise

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
from runner import parameter
from twins.buffers import TileBuffers
from twins.gather import (
    config_for,
    expected_rows,
    needs_short,
    pack_command,
    random_conv,
    shortest_tile,
    tokens_of,
)


class Bench:
    """One clock cycle per :meth:`cycle`; everything that leaves the module is judged there."""

    def __init__(self, dut, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.dn, self.w = parameter("Dn"), parameter("W")
        self.buffers = TileBuffers(parameter("ColRows"))
        self.config = config_for(self.dn, self.w, parameter("ColRows"))
        self.store = (
            np.random.default_rng(rng.getrandbits(32))
            .integers(0, 2, (2, self.config.half_words, self.w))
            .astype(np.uint8)
        )
        packed = np.packbits(self.store, axis=-1, bitorder="little")
        self.words = [[int.from_bytes(x.tobytes(), "little") for x in half] for half in packed]
        self.now = 0
        self.answers: dict[int, int] = {}
        self.columns: list[dict[tuple[int, int], list[int]]] = [{} for _ in range(self.dn)]
        self.owned: set[int] = set()  # rows that ARRAY owns
        self.frees: list[tuple[int, range]] = []  # (cycle, rows)
        self.tiles: deque[tuple[dict[str, int], int, int]] = deque()  # fields, first pixel, count
        self.pending: deque[dict[str, int]] = deque()
        self.running: deque[dict[str, int]] = deque()  # taken and not done
        self.overlaps = 0  # commands taken while another is under way
        self.finished = 0
        self.p_ready, self.p_cmd, self.free_delay = 1.0, 1.0, 0
        self.waits = [0, 0]
        self.busy = self.bursts = False  # bursts: reads refused and granted many at a time
        self.held = 0  # cycles in which the first token of an instruction is held back
        self.kept = 0  # cycles in which a rest waits to be written

    async def reset(self) -> None:
        dut = self.dut
        Clock(dut.clk_i, 10, "ns").start()
        dut.rst_ni.value = 0
        for port in (dut.cmd_valid_i, dut.rd_ready_i, dut.rd_rsp_valid_i, dut.tile_free_i):
            port.value = 0
        for _ in range(3):
            await FallingEdge(dut.clk_i)
        dut.rst_ni.value = 1
        await FallingEdge(dut.clk_i)

    def fetch(self, address: int) -> int:
        """Eight words of the store; addresses wrap at 2^15, beyond the end is anything."""
        half, offset = self.words[address >> 15], address & 0x7FFF
        value = 0
        for j in range(8):
            at = (offset + j) & 0x7FFF
            word = half[at] if at < len(half) else self.rng.getrandbits(self.w)
            value |= word << j * self.w
        return value

    def write(self) -> None:
        """Apply the write of this cycle, if any."""
        dut, mask = self.dut, (1 << self.w) - 1
        if not int(dut.col_we_o.value):
            return
        column, row, odd, data = (
            int(getattr(dut, f"col_{x}_o").value) for x in ("sel", "row", "odd", "data")
        )
        assert row not in self.owned, f"wrote a buffer of ARRAY, row {row}"
        assert (row, odd) not in self.columns[column], f"wrote row {row} twice"
        self.columns[column][row, odd] = [data >> b * self.w & mask for b in range(4)]

    def judge_tile(self) -> None:
        """The tile just handed over holds its columns, and missing pixels were left alone."""
        fields, first, count = self.tiles.popleft()
        if first == 0:
            self.buffers.enter(fields["ab"], fields["kwords"])
        base = self.buffers.take()
        rows = range(base, base + self.buffers.size)
        for q in range(self.dn):
            got = {(row - base, odd): v for (row, odd), v in self.columns[q].items() if row in rows}
            want = {}
            if q < count:
                want = expected_rows(self.config, self.store, fields, first + q)
            assert got == want, f"pixel {first + q} (column {q}) of {fields}: {got} not {want}"
        for column in self.columns:  # the next tile must write everything again
            for key in [k for k in column if k[0] in rows]:
                del column[key]
        self.owned |= set(rows)
        delay = self.rng.randint(0, self.free_delay)
        at = max([self.now + delay, *(t + 1 for t, _ in self.frees)])
        self.frees.append((at, rows))

    async def cycle(self) -> None:
        dut, rng = self.dut, self.rng
        # writes and completions of this cycle
        self.write()
        self.kept += int(dut.u_align.keep_valid_q.value) != 0
        addr = dut.u_addr
        self.held += int(addr.hold_q.value) and int(addr.a_valid_q.value)
        if int(dut.tile_done_o.value):
            assert self.tiles, "a tile too many"
            self.judge_tile()
        if int(dut.done_o.value):
            assert self.running, "done without a command"
            fields = self.running.popleft()
            assert all(tile[0] is not fields for tile in self.tiles), "done before its last tile"
            assert not self.tiles or self.tiles[0][1] == 0, "done after a tile of the next one"
            self.finished += 1
        # tile buffers given back
        free = bool(self.frees) and self.frees[0][0] <= self.now
        dut.tile_free_i.value = free
        if free:
            self.owned -= set(self.frees.pop(0)[1])
        # reads
        if self.bursts and rng.random() < 0.1:
            self.p_ready = 1.0 - self.p_ready
        ready = rng.random() < self.p_ready
        dut.rd_ready_i.value = ready
        if int(dut.rd_valid_o.value) and ready:
            self.answers[self.now + 2] = self.fetch(int(dut.rd_addr_o.value))
        answer = self.answers.pop(self.now, None)
        dut.rd_rsp_valid_i.value = answer is not None
        dut.rd_data_i.value = rng.getrandbits(8 * self.w) if answer is None else answer
        # commands
        valid = bool(self.pending) and rng.random() < self.p_cmd
        dut.cmd_valid_i.value = valid
        dut.cmd_i.value = pack_command(self.pending[0]) if valid else rng.getrandbits(896)
        if valid and int(dut.cmd_ready_o.value):
            fields = self.pending.popleft()
            self.overlaps += bool(self.running)
            self.running.append(fields)
            for first in range(0, fields["npix"], self.dn):
                self.tiles.append((fields, first, min(self.dn, fields["npix"] - first)))
        assert bool(int(dut.stall_out_o.value)) <= bool(int(dut.busy_o.value))
        assert bool(int(dut.busy_o.value)) == self.busy, "busy_o is not what is under way"
        self.busy = bool(self.running)  # of the next cycle
        self.waits[0] += int(dut.stall_in_o.value)
        self.waits[1] += int(dut.stall_out_o.value)
        self.now += 1
        await FallingEdge(dut.clk_i)

    async def drain(self, limit: int) -> int:
        """Run until every command is done; returns the cycles."""
        start = self.now
        while self.pending or self.running:
            assert self.now - start < limit, "does not end"
            await self.cycle()
        return self.now - start


@cocotb.test()
async def random_commands(dut) -> None:
    """Any convolution, with refused reads, late tile buffers and late commands, back to back."""
    rng = random.Random(cocotb.RANDOM_SEED)
    bench = Bench(dut, rng)
    await bench.reset()
    commands = 0
    for _ in range(20):
        bench.p_ready = rng.choice((1.0, 0.8, 0.3))
        bench.p_cmd = rng.choice((1.0, 0.2))
        bench.free_delay = rng.choice((0, 10, 100))
        for _ in range(6):
            bench.pending.append(random_conv(rng, bench.config, rng.choice((1, 20, 150, 300))))
            commands += 1
        await bench.drain(40000)
    assert bench.finished == commands
    assert min(bench.waits) > 0
    assert bench.overlaps > commands // 4
    assert (bench.kept > 50) == (bench.w > 32)  # shorter words never leave a rest
    for _ in range(300):
        await bench.cycle()
    assert not int(dut.busy_o.value)


@cocotb.test()
async def full_rate(dut) -> None:
    """Without stalls an instruction takes its issue slots and a constant."""
    rng = random.Random(cocotb.RANDOM_SEED + 1)
    bench = Bench(dut, rng)
    await bench.reset()
    for ab in (1, 2, 3, 4, 5, 8):
        for _ in range(2):
            while True:  # a tile must take longer than the way of a buffer through the pipeline
                fields = random_conv(rng, bench.config, 400, ab)
                slots = tokens_of(fields, bench.w)
                if slots * bench.dn >= 16 * fields["npix"]:
                    break
            bench.pending.append(fields)
            cycles = await bench.drain(4000)
            cocotb.log.info("ab %d: %d slots in %d cycles", ab, slots, cycles)
            assert cycles <= slots + 16


@cocotb.test()
async def queued_rate(dut) -> None:
    """Queued instructions take the sum of their slots and at most three cycles each.

    Those whose tiles are not shorter than the way of a buffer through the pipeline, that is; where
    the number of tile buffers changes, all of them must come back first.
    """
    rng = random.Random(cocotb.RANDOM_SEED + 2)
    bench = Bench(dut, rng)
    await bench.reset()
    for _ in range(6):
        queue: list[dict[str, int]] = []
        while len(queue) < 8:
            fields = random_conv(rng, bench.config, 100, rng.choice((1, 3, 4, 5, 8)))
            if shortest_tile(fields, bench.w, bench.dn) >= 16:
                queue.append(fields)
        modes = [needs_short(bench.config, fields) for fields in queue]
        changes = sum(a != b for a, b in pairwise(modes))
        slots = sum(tokens_of(fields, bench.w) for fields in queue)
        bench.pending.extend(queue)
        cycles = await bench.drain(20000)
        cocotb.log.info("8 queued: %d slots in %d cycles, %d changes", slots, cycles, changes)
        assert slots < cycles <= slots + 16 + 3 * (len(queue) - 1) + 11 * changes


@cocotb.test()
async def fields_change(dut) -> None:
    """Neighbours that differ in every field of the data side, also while a rest is still kept."""
    rng = random.Random(cocotb.RANDOM_SEED + 3)
    bench = Bench(dut, rng)
    await bench.reset()
    w, rows, overlaps = bench.w, parameter("ColRows"), 0

    def one_segment(ab: int, kh: int, lanes: int, most: int) -> dict[str, int]:
        width = min(lanes, 3 * w)
        return {
            "ab": ab, "zp_in": rng.getrandbits(ab), "kh": kh, "n_seg": 1, "seg_lanes": lanes,
            "seg_step": 0, "step_x": rng.choice((width, 16)), "x0": rng.choice((0, -16)), "y0": 0,
            "stride_y": 1, "dil_y": 1, "in_h": 8, "out_w": 8, "ox0": 0, "oy0": 0,
            "in_row_lanes": 8 * width, "in_row_words": -(-8 * width // w) * ab,
            "in_base": rng.randrange(2) << 15, "kwords": -(-kh * lanes // w),
            "npix": rng.randint(1, most),
        }  # fmt: skip

    for p_ready in (1.0, 0.7, 0.0):
        bench.p_ready, bench.bursts = p_ready, p_ready == 0.0
        bench.free_delay = rng.choice((0, 20))
        for ab, then in [(a, b) for a in (2, 4, 5, 8) for b in (1, 4, 6, 8)] + [(7, 3)] * 12:
            # a rest after the last chunk if W is 64; then a word in every slot
            bench.pending.append(one_segment(ab, 3, 48, 6))
            bench.pending.append(one_segment(then, 1, w, 20))
            if rng.random() < 0.2:  # two tile buffers
                bench.pending.append(one_segment(8, 1, rows // 4 * w, bench.dn + 1))
        commands = len(bench.pending)
        await bench.drain(80000)
        assert bench.overlaps - overlaps > commands // 2
        overlaps = bench.overlaps
    assert (bench.kept > 0) == (w > 32)
    cocotb.log.info("held %d kept %d", bench.held, bench.kept)
    assert bench.held > 20
