"""hb_load against its twin: all kinds, random sizes, stalls of DDR and of the activation store."""

from __future__ import annotations

import random

import cocotb
from bus import seeded
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from runner import parameter
from twins import load

from hessbit.hw.isa import LAYOUT, LoadKind, Opcode, pack_fields

BASES = (0x12_3456_7000, 0x00_1000_0000, 0xFE_0000_0008)


def command(rng: random.Random, word: int, chunks: int) -> dict[str, int]:
    """Random fields."""
    kind = rng.choice(list(LoadKind))
    fields = {f.name: 0 for f in LAYOUT[Opcode.LOAD]}
    fields |= {"kind": kind, "base": rng.randrange(3), "ddr": 8 * rng.getrandbits(28)}
    fields["dst"] = rng.getrandbits(14)
    if kind == LoadKind.WEIGHTS:
        fields["beats"] = rng.randint(1, 5) * chunks
    elif kind == LoadKind.PARAMS:
        fields["beats"] = 2 * rng.randint(1, 30)
    else:
        wide = 8 * rng.randint(1, word // 2)
        row_bytes = rng.choice((wide, rng.randint(1, 2 * word)))
        rows = rng.randint(1, 6)
        surplus = rng.choice((0, 0, 1, 3))
        fields |= {"rows": rows, "row_bytes": row_bytes, "bits": rng.randint(1, 8)}
        fields["beats"] = -(-rows * row_bytes // 8) + surplus
    return fields


async def one(dut, rng: random.Random, p_mem: float, p_store: float) -> tuple[int, int]:
    """Run one command and check its writes; cycles and beats."""
    word, chunks = parameter("K") // 2, parameter("Dm") * parameter("K") // 64
    fields = command(rng, word, chunks)
    data = rng.randbytes(8 * fields["beats"])
    writes: list[object] = []
    want: list[object] = []
    if fields["kind"] == LoadKind.WEIGHTS:
        want += load.weights(fields, data, chunks)
    elif fields["kind"] == LoadKind.PARAMS:
        want += load.params(fields, data)
    else:
        want += load.acts(fields, data, word)
    dut.cmd_i.value = pack_fields(LAYOUT[Opcode.LOAD], fields)
    dut.cmd_valid_i.value = 1
    asked, beat, cycles = False, 0, 0
    while True:
        granted = rng.random() < p_mem
        valid = asked and beat < fields["beats"] and rng.random() < p_mem
        ready = rng.random() < p_store
        dut.req_ready_i.value = granted
        dut.rsp_valid_i.value = valid
        chunk = data[8 * beat : 8 * beat + 8] if valid else rng.randbytes(8)
        dut.rsp_data_i.value = int.from_bytes(chunk, "little")
        dut.wr_ready_i.value = ready
        await ReadOnly()
        accepted = bool(dut.cmd_valid_i.value) and bool(dut.cmd_ready_o.value)
        if dut.req_valid_o.value and granted:
            assert not asked
            asked = True
            assert int(dut.req_addr_o.value) == BASES[fields["base"]] + fields["ddr"]
            assert int(dut.req_beats_o.value) == fields["beats"]
        if valid and dut.rsp_ready_o.value:
            beat += 1
        if dut.wgt_we_o.value:
            chunk_at = int(dut.wgt_chunk_o.value)
            writes.append((int(dut.wgt_addr_o.value), chunk_at, int(dut.wgt_data_o.value)))
        if dut.par_we_o.value:
            writes.append((int(dut.par_addr_o.value), int(dut.par_data_o.value)))
        if dut.wr_valid_o.value and ready:
            count, raw = int(dut.wr_count_o.value), int(dut.wr_data_o.value)
            assert dut.wr_mask_o.value.to_unsigned() == (1 << len(dut.wr_mask_o)) - 1
            planes = tuple(raw >> (p * word) & ((1 << word) - 1) for p in range(count))
            writes.append((int(dut.wr_addr_o.value), planes))
        done = bool(dut.done_o.value)
        await FallingEdge(dut.clk_i)
        cycles += 1
        if accepted:
            dut.cmd_valid_i.value = 0
        if done:
            break
        assert cycles < 20000, "LOAD does not end"
    assert writes == want
    assert beat == fields["beats"]
    wide = fields["kind"] != LoadKind.ACTS or fields["row_bytes"] % 8 == 0
    return cycles, (fields["beats"] if wide else 8 * fields["beats"])


async def start(dut) -> None:
    """Reset."""
    Clock(dut.clk_i, 10, "ns").start()
    for name in ("rst_ni", "cmd_valid_i", "req_ready_i", "rsp_valid_i", "wr_ready_i"):
        getattr(dut, name).value = 0
    dut.base_i.value = sum(b << (40 * i) for i, b in enumerate(BASES))
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    await FallingEdge(dut.clk_i)


@cocotb.test()
async def random_commands(dut) -> None:
    """Commands back to back with stalls on both sides."""
    rng = seeded()
    await start(dut)
    for _ in range(40):
        await one(dut, rng, rng.choice((0.3, 0.8, 1.0)), rng.choice((0.3, 0.8, 1.0)))


@cocotb.test()
async def full_rate(dut) -> None:
    """Without stalls: a beat (or, for odd rows, a byte) a cycle and at most 8 cycles around."""
    rng = seeded()
    await start(dut)
    for _ in range(30):
        cycles, least = await one(dut, rng, 1.0, 1.0)
        assert cycles <= least + 8
