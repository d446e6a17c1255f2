"""hb_sequencer against its twin: random programs, stalls of memory and queues, every way to end."""

from __future__ import annotations

import random
from collections import deque

import cocotb
from bus import seeded
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly
from twins.sequencer import Dispatch, run

from hessbit.hw.isa import INSTR_BYTES, ISA_VERSION, ErrorCode, Opcode


def program(rng: random.Random, length: int, fault: str) -> bytes:
    """Random bodies and waits; ``fault``: none, opcode, isa, no_end."""
    out, bad = b"", rng.randrange(length)
    for i in range(length):
        opcode = rng.choice((1, 2, 3, 4)) if i < length - 1 or fault == "no_end" else 5
        isa = ISA_VERSION
        if i == bad and fault == "opcode":
            opcode = rng.choice((0, 6, 255))
        if i == bad and fault == "isa":
            isa = 7
        out += bytes([opcode, isa]) + rng.randbytes(INSTR_BYTES - 2)
    if fault == "none":  # read ahead, never looked at
        for _ in range(rng.randrange(4)):
            out += bytes([Opcode.CONV, ISA_VERSION]) + rng.randbytes(INSTR_BYTES - 2)
    return out


async def one(dut, rng: random.Random, fault: str, p: float) -> None:
    """Run one program."""
    raw = program(rng, rng.randint(1, 12), fault)
    want, code, counted = run(raw)
    base = 8 * rng.getrandbits(30)
    dut.prog_addr_i.value = base
    dut.prog_len_i.value = len(raw) // INSTR_BYTES
    dut.start_i.value = 1
    await FallingEdge(dut.clk_i)
    dut.start_i.value = 0
    got: list[Dispatch] = []
    beats: deque[int] = deque()
    idle_after = rng.randint(0, 60)
    for _ in range(8000):
        room, req_ready = sum((rng.random() < p) << e for e in range(6)), rng.random() < p
        valid = bool(beats) and rng.random() < p
        dut.push_ready_i.value = room
        dut.req_ready_i.value = req_ready
        dut.rsp_valid_i.value = valid
        if valid:
            dut.rsp_data_i.value = int.from_bytes(raw[beats[0] : beats[0] + 8], "little")
        idle = len(got) == len(want) and idle_after <= 0
        idle_after -= len(got) == len(want)
        dut.all_idle_i.value = idle
        await ReadOnly()
        if valid and dut.rsp_ready_o.value:
            beats.popleft()
        elif valid:
            raise AssertionError("a word that was asked for finds no room")
        if dut.req_valid_o.value and req_ready:
            at = int(dut.req_addr_o.value) - base
            assert at % INSTR_BYTES == 0 and 0 <= at < len(raw)
            assert int(dut.req_beats_o.value) == INSTR_BYTES // 8
            beats.extend(range(at, at + INSTR_BYTES, 8))
        pushed = int(dut.push_valid_o.value)
        if pushed:
            assert pushed & ~room == 0, "pushed into a full queue"
            got.append(
                Dispatch(
                    pushed,
                    int(dut.push_body_o.value),
                    int(dut.push_layer_o.value),
                    int(dut.push_waits_o.value),
                    bool(dut.push_from_pool_o.value),
                )
            )
        done, error = bool(dut.done_o.value), bool(dut.error_o.value)
        if error:
            assert int(dut.error_code_o.value) == code != ErrorCode.NONE
        if done:
            assert code == ErrorCode.NONE and not beats
        finished = done or error
        count = int(dut.dispatched_o.value)
        await FallingEdge(dut.clk_i)
        if finished:
            break
    else:
        raise AssertionError("the program does not end")
    assert got == want
    assert count == counted
    dut.rsp_valid_i.value = 0
    if error:  # only a reset helps
        dut.rst_ni.value = 0
        await FallingEdge(dut.clk_i)
        dut.rst_ni.value = 1


@cocotb.test()
async def programs(dut) -> None:
    """Every kind of program, one after the other."""
    rng = seeded()
    Clock(dut.clk_i, 10, "ns").start()
    for name in ("rst_ni", "start_i", "halt_i", "rsp_valid_i", "req_ready_i", "push_ready_i",
                 "all_idle_i"):  # fmt: skip
        getattr(dut, name).value = 0
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    await FallingEdge(dut.clk_i)
    for i in range(40):
        fault = rng.choice(("none", "none", "opcode", "isa", "no_end"))
        await one(dut, rng, fault, (0.3, 0.7, 1.0)[i % 3])


@cocotb.test()
async def halted(dut) -> None:
    """Nothing is dispatched while the run has failed."""
    rng = seeded()
    await programs_reset(dut)
    dut.halt_i.value = 1
    raw = program(rng, 3, "none")
    dut.prog_addr_i.value = 0
    dut.prog_len_i.value = 3
    dut.start_i.value = 1
    dut.req_ready_i.value = 1
    dut.push_ready_i.value = 63
    for i in range(100):
        await FallingEdge(dut.clk_i)
        dut.start_i.value = 0
        dut.rsp_valid_i.value = 2 <= i < 18
        at = 8 * ((i - 2) % 16)
        dut.rsp_data_i.value = int.from_bytes(raw[at : at + 8], "little")
        await ReadOnly()
        assert int(dut.push_valid_o.value) == 0
    await FallingEdge(dut.clk_i)
    dut.halt_i.value = 0
    await ReadOnly()
    assert int(dut.push_valid_o.value) != 0


async def programs_reset(dut) -> None:
    """Clock and reset."""
    Clock(dut.clk_i, 10, "ns").start()
    dut.rst_ni.value = 0
    dut.rsp_valid_i.value = 0
    for _ in range(3):
        await FallingEdge(dut.clk_i)
    dut.rst_ni.value = 1
    await FallingEdge(dut.clk_i)
