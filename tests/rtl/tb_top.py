"""hb_top with a host and DDR: loads, stores, errors, watchdog, reset in the middle of a run."""

from __future__ import annotations

import random

import cocotb
from bus import Ddr, Host, reset, seeded
from cocotb.triggers import ClockCycles
from runner import parameter

from hessbit.hw.isa import (
    INSTR_BYTES,
    LAYOUT,
    LOG_OFFSET,
    Base,
    Engine,
    ErrorCode,
    Instruction,
    LoadKind,
    Opcode,
)

PROGRAM, MODEL, INPUT, OUTPUT = 0x0F00, 0x8000, 0x10F40, 0x20FF8
BUSY, DONE, ERROR = 1, 2, 4
END = Instruction(Opcode.END, {})


def load(y: int, **fields: int) -> Instruction:
    """LOAD of activations from the input."""
    zero = {f.name: 0 for f in LAYOUT[Opcode.LOAD]}
    return Instruction(
        Opcode.LOAD, zero | {"kind": LoadKind.ACTS, "base": Base.INPUT} | fields, layer=y
    )


def store(y: int, after: int, **fields: int) -> Instruction:
    """STORE to the output, once so many loads are complete."""
    return Instruction(
        Opcode.STORE, {"base": Base.OUTPUT} | fields, layer=y, waits=(after, 0, 0, 0, 0, 0)
    )


class Case:
    """Maps that go in as bytes and come back out, with the bytes that must come."""

    def __init__(self, rng: random.Random, maps: int) -> None:
        word = parameter("K") // 2
        self.program: list[Instruction] = []
        self.data, self.want = b"", b""
        at = [0, 0]
        for y in range(maps):
            rows, bits, half = rng.randint(1, 7), rng.randint(1, 8), rng.randrange(2)
            lanes = rng.choice((16 * rng.randint(1, 7), 8 * rng.randint(1, 12), rng.randint(1, 70)))
            padded = -(-lanes // 16) * 16
            maps_bytes = [rng.randbytes(lanes) for _ in range(rows)]
            blob = b"".join(maps_bytes)
            beats = -(-len(blob) // 8)
            address = half << 15 | at[half]
            at[half] += -(-lanes // word) * bits * rows
            self.program.append(
                load(y, ddr=len(self.data), dst=address, beats=beats, rows=rows, row_bytes=lanes,
                     bits=bits)
            )  # fmt: skip
            self.program.append(
                store(y, y + 1, ddr=len(self.want), src=address, rows=rows, row_lanes=padded,
                      bits=bits)
            )  # fmt: skip
            self.data += blob + bytes(8 * beats - len(blob))
            for row in maps_bytes:
                self.want += bytes(b & ((1 << bits) - 1) for b in row) + bytes(padded - lanes)
        self.program.append(END)


class Bench:
    """The overlay with its surroundings."""

    def __init__(self, dut, rng: random.Random, share: float) -> None:
        self.dut, self.rng = dut, rng
        self.ddr, self.host = Ddr(dut, rng, share), Host(dut)

    @classmethod
    async def make(cls, dut, rng: random.Random, share: float = 0.3) -> Bench:
        await reset(dut)
        self = cls(dut, rng, share)
        for name, value in (
            ("PROG", PROGRAM),
            ("MODEL", MODEL),
            ("INPUT", INPUT),
            ("OUTPUT", OUTPUT),
        ):
            await self.host.set(f"{name}_LO", value)
        await self.host.set("IRQ_ENABLE", 3)
        return self

    async def start(self, program: list[Instruction] | bytes, data: bytes = b"") -> None:
        """Put program and input in place and start."""
        raw = program if isinstance(program, bytes) else b"".join(i.encode() for i in program)
        self.ddr.data[PROGRAM : PROGRAM + len(raw)] = raw
        self.ddr.data[INPUT : INPUT + len(data)] = data
        await self.host.set("PROG_LEN", len(raw) // INSTR_BYTES)
        await self.host.set("CTRL", 1)

    async def right_run(self, maps: int = 3) -> None:
        """A run that must end well, with its counters and log."""
        case = Case(self.rng, maps)
        self.ddr.data[OUTPUT:] = bytes(len(self.ddr.data) - OUTPUT)
        await self.start(case.program, case.data)
        assert await self.host.settled() == DONE
        assert bytes(self.ddr.data[OUTPUT : OUTPUT + len(case.want)]) == case.want
        assert bytes(self.ddr.data[OUTPUT + len(case.want) :][:64]) == bytes(64)
        get = self.host.get
        assert await get("IRQ_STATUS") == 1
        assert int(self.dut.irq_o.value) == 1
        await self.host.set("IRQ_STATUS", 1)
        assert int(self.dut.irq_o.value) == 0
        assert await get("LOAD_DONE") == await get("STORE_DONE") == maps
        assert await get("DISPATCHED") == len(case.program)
        assert await get("WRITE_BEATS") == len(case.want) // 8
        beats = sum(i.fields.get("beats", 0) for i in case.program)
        assert await get("READ_BEATS") == beats + 16 * len(case.program)
        assert await get("LOG_COUNT") == maps
        cycles = await get("CYCLES")
        last = 0
        for i in range(maps):
            assert await self.host.get_at(LOG_OFFSET + 8 * i + 4) == Engine.STORE << 16 | i
            at = await self.host.get_at(LOG_OFFSET + 8 * i)
            assert last < at < cycles
            last = at

    async def wrong_run(self, code: ErrorCode, dispatched: int | None = None) -> None:
        """The run that is going on must fail; afterwards the soft reset brings the overlay back."""
        status = await self.host.settled()
        assert status == code << 8 | ERROR, f"{status:#x}"
        if dispatched is not None:
            assert await self.host.get("ERROR_INFO") == dispatched
        assert await self.host.get("IRQ_STATUS") == 2
        await self.host.set("IRQ_STATUS", 2)
        await self.host.set("CTRL", 1)  # not taken: an error is latched
        assert await self.host.get("STATUS") == status
        self.ddr.stop(False)
        self.ddr.bad = range(0)
        await self.recover()
        await self.right_run()

    async def recover(self) -> None:
        """Soft reset: clears the errors, keeps bases, program, watchdog and interrupts."""
        await self.host.set("CTRL", 2)
        assert await self.host.settled() == 0
        assert await self.host.get("CYCLES") == 0
        assert await self.host.get("INPUT_LO") == INPUT
        assert await self.host.get("IRQ_ENABLE") == 3


@cocotb.test()
async def bytes_in_bytes_out(dut) -> None:
    """Maps of many sizes go through the store, on an idle and on a slow bus."""
    bench = await Bench.make(dut, seeded())
    await bench.right_run(maps=12)
    bench.ddr.stop(False)
    await bench.right_run(maps=12)


@cocotb.test()
async def wrong_instructions(dut) -> None:
    """An unknown opcode, another ISA version, a program without END, an empty program."""
    bench = await Bench.make(dut, seeded())
    case = Case(bench.rng, 2)
    good = [i.encode() for i in case.program]
    await bench.start(b"".join([*good[:2], b"\x09" + good[2][1:], *good[3:]]), case.data)
    await bench.wrong_run(ErrorCode.ILLEGAL_OPCODE, 2)
    await bench.start(
        b"".join([good[0], good[1][:1] + b"\x02" + good[1][2:], *good[2:]]), case.data
    )
    await bench.wrong_run(ErrorCode.ISA_VERSION, 1)
    await bench.start(b"".join(good[:-1]), case.data)
    await bench.wrong_run(ErrorCode.NO_END, 4)
    await bench.start(b"")
    await bench.wrong_run(ErrorCode.NO_END, 0)


@cocotb.test()
async def bus_errors(dut) -> None:
    """SLVERR for the program, for the input, for the output."""
    bench = await Bench.make(dut, seeded())
    for place, code in (
        (PROGRAM, ErrorCode.AXI_READ), (INPUT, ErrorCode.AXI_READ), (OUTPUT, ErrorCode.AXI_WRITE),
    ):  # fmt: skip
        case = Case(bench.rng, 3)
        bench.ddr.bad = range(place, place + 64)
        await bench.start(case.program, case.data)
        await bench.wrong_run(code)


@cocotb.test()
async def watchdog(dut) -> None:
    """A dead bus stops the run after WATCHDOG cycles and not before."""
    bench = await Bench.make(dut, seeded())
    case = Case(bench.rng, 3)
    await bench.host.set("WATCHDOG", 300)
    await bench.start(case.program, case.data)
    await ClockCycles(dut.clk_i, 100)
    bench.ddr.stop(True)
    await ClockCycles(dut.clk_i, 250)
    assert await bench.host.get("STATUS") == BUSY
    await ClockCycles(dut.clk_i, 100)
    await bench.wrong_run(ErrorCode.WATCHDOG)


@cocotb.test()
async def reset_in_the_middle(dut) -> None:
    """Soft reset at any time, with bursts under way, then a run that must be right."""
    bench = await Bench.make(dut, seeded())
    for _ in range(8):
        case = Case(bench.rng, 6)
        await bench.start(case.program, case.data)
        await ClockCycles(dut.clk_i, bench.rng.randint(1, 600))
        await bench.host.set("IRQ_STATUS", 3)
        await bench.recover()
        await bench.host.set("IRQ_STATUS", 3)
        await bench.right_run(2)
