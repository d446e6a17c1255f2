"""Twin of hb_sequencer: what a program dispatches and how it ends."""

from __future__ import annotations

from dataclasses import dataclass

from hessbit.hw.isa import (
    HEADER,
    INSTR_BYTES,
    ISA_VERSION,
    TARGETS,
    ErrorCode,
    Opcode,
    header_bits,
    unpack_fields,
)


@dataclass(frozen=True)
class Dispatch:
    """One instruction as the queues see it."""

    targets: int
    body: int
    layer: int
    waits: int
    from_pool: bool


def run(program: bytes) -> tuple[list[Dispatch], ErrorCode, int]:
    """Dispatches in order, the error that ends the program (or NONE), instructions counted."""
    out = []
    for i in range(len(program) // INSTR_BYTES):
        word = int.from_bytes(program[i * INSTR_BYTES : (i + 1) * INSTR_BYTES], "little")
        head = unpack_fields(HEADER, word)
        if head["isa"] != ISA_VERSION:
            return out, ErrorCode.ISA_VERSION, i
        if head["opcode"] not in list(Opcode):
            return out, ErrorCode.ILLEGAL_OPCODE, i
        opcode = Opcode(head["opcode"])
        if opcode == Opcode.END:
            return out, ErrorCode.NONE, i + 1
        targets = sum(1 << e for e in TARGETS[opcode])
        waits = word >> 32 & (1 << 96) - 1
        body = word >> header_bits()
        out.append(Dispatch(targets, body, head["layer"], waits, opcode == Opcode.POOL))
    return out, ErrorCode.NO_END, len(program) // INSTR_BYTES
