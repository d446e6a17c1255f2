"""hb_array_ctrl against twins.array: every step with its read controls, under a random en."""

from __future__ import annotations

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from runner import parameter
from twins.array import Conv, column_row, group_steps, stride, weight_address
from twins.buffers import TileBuffers

from hessbit.hw.isa import LAYOUT, Opcode, pack_fields

DN, COL_ROWS = parameter("Dn"), parameter("ColRows")
READ = ("wgt_addr", "wgt_mode", "wgt_odd", "col_row", "col_odd", "col_plane", "col_mode")
READ = (*READ, "col_hi_valid")
STEP = ("valid", "first", "shift", "neg", "mode", "last", "bipolar", "npix")


def random_command(rng: random.Random) -> Conv:
    """Any legal command of moderate length."""
    bipolar = int(rng.random() < 0.2)
    wb, ab = 1 if bipolar or rng.random() < 0.2 else rng.randint(2, 8), rng.randint(1, 8)
    mode, kwords = rng.randint(0, 1), rng.randint(1, 6)
    return Conv(
        npix=rng.randint(1, 4 * DN),
        n_groups=rng.randint(1, 3),
        kwords=kwords,
        wb=wb,
        ab=ab,
        bipolar=bipolar,
        lane_mode=mode,
        w_base=rng.randint(0, 1000),
        w_stride=stride(wb, kwords, mode) + rng.randint(0, 3),
    )


def expected_steps(
    commands: list[Conv], buffers: TileBuffers
) -> list[tuple[dict[str, int] | None, dict[str, int]]]:
    """Read controls (None for an empty step) and step controls of every cycle in order.

    ``buffers`` are the tile buffers as the commands before have left them.
    """
    out: list[tuple[dict[str, int] | None, dict[str, int]]] = []
    for c in commands:
        buffers.enter(c.ab, c.kwords)
        for p in range(0, c.npix, DN):
            tile_row = buffers.take()
            for g in range(c.n_groups):
                for s in group_steps(c):
                    read = None
                    if s.at is not None:
                        i, j, k = s.at
                        address, half = weight_address(c, g, i, k)
                        read = {
                            "wgt_addr": address,
                            "wgt_mode": c.lane_mode,
                            "wgt_odd": half,
                            "col_row": column_row(c, tile_row, j, k),
                            "col_odd": k % 2,
                            "col_plane": j % 4,
                            "col_mode": c.lane_mode,
                        }
                        if not c.lane_mode:
                            read["col_hi_valid"] = int(k + 1 < c.kwords)
                    step = {
                        "valid": int(s.at is not None),
                        "first": int(s.first),
                        "shift": int(s.shift),
                        "neg": int(s.neg),
                        "mode": c.lane_mode,
                        "last": int(s.last),
                        "bipolar": c.bipolar,
                        "npix": min(DN, c.npix - p),
                    }
                    out.append((read, step))
    return out


@cocotb.test()
async def random_commands(dut) -> None:
    """Steps and reads in order; done and tile_free once each, after the last read returned."""
    rng = random.Random(cocotb.RANDOM_SEED)
    Clock(dut.clk_i, 10, "ns").start()
    for name in ("rst_ni", "cmd_valid_i", "cmd_i", "tile_done_i", "en_i"):
        getattr(dut, name).value = 0
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    buffers = TileBuffers(COL_ROWS)
    for p_en, p_tile in ((1.0, 1.0), (0.6, 1.0), (0.8, 0.05)):
        commands = [random_command(rng) for _ in range(8)]
        expected = expected_steps(commands, buffers)
        # steps that are complete when a tile or an instruction is
        tile_ends, instr_ends, at = [], [], 0
        for c in commands:
            for _ in range(0, c.npix, DN):
                at += c.n_groups * c.steps
                tile_ends.append(at)
            instr_ends.append(at)
        offered, given, freed, done = 0, 0, 0, 0
        n_steps = 0
        history: list[dict[str, int]] = []
        enabled: list[int] = []
        while done < len(commands):
            give = int(given < len(tile_ends) and given - freed < 2 and rng.random() < p_tile)
            given += give
            en = int(rng.random() < p_en)
            dut.tile_done_i.value = give
            dut.en_i.value = en
            valid = int(offered < len(commands) and rng.random() < 0.9)
            dut.cmd_valid_i.value = valid
            if valid:
                fields = {f.name: 0 for f in LAYOUT[Opcode.CONV]} | vars(commands[offered])
                dut.cmd_i.value = pack_fields(LAYOUT[Opcode.CONV], fields)
            await ReadOnly()
            offered += valid and int(dut.cmd_ready_o.value)
            if dut.tile_free_o.value == 1:
                assert n_steps >= tile_ends[freed] - 1, "the tile is still being read"
                freed += 1
            if dut.done_o.value == 1:
                assert n_steps >= instr_ends[done] - 1, "the weights are still being read"
                done += 1
            # a step is on the outputs of the pipeline; it counts where en takes it on
            step = {name: int(getattr(dut, f"step_{name}_o").value) for name in STEP}
            mem_en = int(dut.mem_en_o.value)
            assert mem_en <= en
            if en:
                history.append({name: int(getattr(dut, f"{name}_o").value) for name in READ})
                enabled.append(mem_en)
            if en and (step["valid"] or step["shift"]):
                read, want = expected[n_steps]
                assert step == want, f"step {n_steps}"
                if read is not None:  # its addresses went out two enabled cycles ago
                    seen = history[-3]
                    assert {name: seen[name] for name in read} == read, f"read of step {n_steps}"
                    assert enabled[-3:-1] == [1, 1], f"read of step {n_steps} is not clocked"
                n_steps += 1
            await FallingEdge(dut.clk_i)
        dut.tile_done_i.value = dut.cmd_valid_i.value = 0
        dut.en_i.value = 1
        for _ in range(3):
            await ReadOnly()
            n_steps += int(dut.step_last_o.value)
            await FallingEdge(dut.clk_i)
        assert (n_steps, freed) == (len(expected), len(tile_ends))
        assert dut.busy_o.value == 0
