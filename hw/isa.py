"""The instruction set, control registers and error codes: the one definition.

The SystemVerilog package, the documentation tables and the C header are generated from this module
(:mod:`hessbit.hw.codegen`); a test fails when they differ.

An instruction is 1024 bits (128 bytes), little endian. The header is common; the rest is laid out
by opcode. Fields are packed from bit 0 upwards in the order listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from hessbit.errors import ConfigError

ISA_VERSION = 1
INSTR_BITS = 1024
INSTR_BYTES = INSTR_BITS // 8
PARAM_BYTES = 16
"""Bytes of one requantiser parameter entry in DDR."""


class Engine(IntEnum):
    """Engines that complete instructions, in the order of their completion counters."""

    LOAD = 0
    GATHER = 1
    ARRAY = 2
    POOL = 3
    REQUANT = 4
    STORE = 5


class Opcode(IntEnum):
    """What an instruction does; each goes to the queues of the engines named."""

    LOAD = 1  # LOAD
    CONV = 2  # GATHER, ARRAY, REQUANT
    POOL = 3  # POOL, REQUANT
    STORE = 4  # STORE
    END = 5  # the sequencer itself: wait until every engine is idle, then done


TARGETS: dict[Opcode, tuple[Engine, ...]] = {
    Opcode.LOAD: (Engine.LOAD,),
    Opcode.CONV: (Engine.GATHER, Engine.ARRAY, Engine.REQUANT),
    Opcode.POOL: (Engine.POOL, Engine.REQUANT),
    Opcode.STORE: (Engine.STORE,),
    Opcode.END: (),
}


class LoadKind(IntEnum):
    """What a LOAD fills."""

    WEIGHTS = 0
    PARAMS = 1
    ACTS = 2


class Base(IntEnum):
    """Which base-address register a DDR offset is relative to."""

    MODEL = 0
    INPUT = 1
    OUTPUT = 2


class PoolOp(IntEnum):
    """What POOL accumulates over its window."""

    SUM = 0
    MAX = 1


class ErrorCode(IntEnum):
    """STATUS.error_code."""

    NONE = 0
    ILLEGAL_OPCODE = 1
    ISA_VERSION = 2
    AXI_READ = 3
    AXI_WRITE = 4
    WATCHDOG = 5
    NO_END = 6


@dataclass(frozen=True)
class Field:
    """One field of an instruction or register: name, width in bits, signedness, meaning."""

    name: str
    bits: int
    doc: str
    signed: bool = False

    @property
    def range(self) -> tuple[int, int]:
        """Least and greatest value."""
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1


HEADER = (
    Field("opcode", 8, "Opcode"),
    Field("isa", 8, "ISA version; another one stops the run"),
    Field("layer", 16, "layer number, for the log"),
    *(
        Field(f"wait_{e.name.lower()}", 16, f"start when {e.name} has completed this many")
        for e in Engine
    ),
)

# Fields that CONV and POOL share, so that REQUANT reads either the same way.
OUTPUT = (
    Field("npix", 20, "output pixels of this instruction, numbered linearly over y*W+x"),
    Field("oy0", 12, "row of the first output pixel"),
    Field("ox0", 12, "column of the first output pixel"),
    Field("out_w", 12, "columns of the output map"),
    Field("n_groups", 12, "groups of Dm output channels"),
    Field("p_base", 16, "first entry in the parameter memory"),
    Field("out_base", 16, "word address of the output map; bit 15 is the half"),
    Field("out_row_words", 16, "words of one row of the output map"),
    Field("out_c", 16, "channels of the output map in lanes, a multiple of 16"),
    Field("out_c0", 16, "first output channel of group 0"),
    Field("ob", 4, "bits of the output, 1..8"),
    Field("zp_out", 8, "zero point of the output"),
    Field("lo", 8, "lower clamp bound"),
    Field("hi", 8, "upper clamp bound"),
    Field("skip_en", 1, "add the residual input"),
    Field("skip_base", 16, "word address of the residual map (same shape as the output map)"),
    Field("skip_row_words", 16, "words of one row of the residual map"),
    Field("skip_bits", 4, "bits of the residual input, 1..8"),
    Field("skip_zp", 8, "zero point of the residual input"),
)

INPUT = (
    Field("in_base", 16, "word address of the input map; bit 15 is the half"),
    Field("in_row_words", 16, "words of one row of the input map"),
    Field("in_h", 12, "rows of the input map"),
    Field("ab", 4, "bits of the input, 1..8"),
    Field("kh", 8, "kernel rows"),
    Field("stride_y", 4, "input rows per output row"),
    Field("y0", 8, "input row of output row 0 and kernel row 0 (minus the padding)", True),
)

LAYOUT: dict[Opcode, tuple[Field, ...]] = {
    Opcode.LOAD: (
        Field("kind", 2, "LoadKind"),
        Field("base", 2, "Base"),
        Field("ddr", 32, "byte offset in DDR from the base, a multiple of 8"),
        Field("dst", 16, "WEIGHTS: wide word; PARAMS: entry; ACTS: word address"),
        Field("beats", 24, "64-bit beats to read"),
        Field("rows", 16, "ACTS: rows of the map"),
        Field("row_bytes", 16, "ACTS: bytes (lanes) of one row"),
        Field("bits", 4, "ACTS: planes to keep, 1..8"),
    ),
    Opcode.CONV: (
        *OUTPUT,
        *INPUT,
        Field("in_row_lanes", 16, "lanes of one row of the input map, W*C"),
        Field("zp_in", 8, "zero point of the input, inserted as padding"),
        Field("dil_y", 4, "input rows between kernel rows"),
        Field("step_x", 16, "lanes between output pixels, stride*C"),
        Field("x0", 20, "lane of output column 0, -pad*C", True),
        Field("n_seg", 8, "segments per kernel row: 1, or kw when dilated"),
        Field("seg_lanes", 16, "lanes of one segment: kw*C, or C when dilated"),
        Field("seg_step", 16, "lanes between segments of a kernel row"),
        Field("kwords", 12, "words of a column, segments padded to 16 lanes"),
        Field("wb", 4, "weight bits, 1..8"),
        Field("bipolar", 1, "weights are {-1,+1} (wb = 1)"),
        Field("lane_mode", 1, "0: one plane x K lanes, 1: two activation planes x K/2 lanes"),
        Field("w_base", 16, "wide word of group 0"),
        Field("w_stride", 16, "wide words between groups"),
    ),
    Opcode.POOL: (
        *OUTPUT,
        *INPUT,
        Field("in_w", 12, "columns of the input map"),
        Field("in_c", 16, "channels of the input map in lanes, a multiple of 16"),
        Field("kw", 8, "kernel columns"),
        Field("stride_x", 4, "input columns per output column"),
        Field("x0", 8, "input column of output column 0 and kernel column 0", True),
        Field("pool_op", 1, "PoolOp"),
    ),
    Opcode.STORE: (
        Field("base", 2, "Base"),
        Field("ddr", 32, "byte offset in DDR from the base, a multiple of 8"),
        Field("src", 16, "word address of the map"),
        Field("rows", 16, "rows of the map"),
        Field("row_lanes", 16, "lanes of one row, a multiple of 16; each becomes one byte"),
        Field("bits", 4, "bits of the map, 1..8"),
    ),
    Opcode.END: (),
}

PARAM_FIELDS = (
    Field("bias", 32, "bias, input zero point folded in", True),
    Field("m", 17, "multiplier", True),
    Field("s", 6, "right shift, 1..40"),
    Field("t", 5, "left shift of the residual product, 0..30"),
    Field("reserved", 4, "zero"),
    Field("m2", 17, "multiplier of the residual", True),
)
"""One entry of the parameter memory, in a 128-bit little-endian slot of DDR."""


@dataclass(frozen=True)
class Register:
    """One 32-bit control register: name, byte offset, access (RO, RW, W1S, W1C), meaning."""

    name: str
    offset: int
    access: str
    doc: str


REGISTERS = (
    Register("ID", 0x000, "RO", "0x54494248, the bytes 'HBIT'"),
    Register("VERSION", 0x004, "RO", "ISA version"),
    Register("CFG_HASH_LO", 0x008, "RO", "configuration hash, low word"),
    Register("CFG_HASH_HI", 0x00C, "RO", "configuration hash, high word"),
    Register("CTRL", 0x010, "W1S", "bit 0 start, bit 1 soft reset (engines, errors, counters)"),
    Register("STATUS", 0x014, "RO", "bit 0 busy, bit 1 done, bit 2 error, 15:8 error code"),
    Register("ERROR_INFO", 0x018, "RO", "15:0 instructions dispatched when the error came"),
    Register("IRQ_ENABLE", 0x01C, "RW", "bit 0 done, bit 1 error"),
    Register("IRQ_STATUS", 0x020, "W1C", "bit 0 done, bit 1 error"),
    Register("PROG_LO", 0x030, "RW", "address of the program, low word; a multiple of 8"),
    Register("PROG_HI", 0x034, "RW", "address of the program, bits 39:32"),
    Register("PROG_LEN", 0x038, "RW", "instructions in the program"),
    Register("MODEL_LO", 0x040, "RW", "address of Base.MODEL, low word"),
    Register("MODEL_HI", 0x044, "RW", "address of Base.MODEL, bits 39:32"),
    Register("INPUT_LO", 0x048, "RW", "address of Base.INPUT, low word"),
    Register("INPUT_HI", 0x04C, "RW", "address of Base.INPUT, bits 39:32"),
    Register("OUTPUT_LO", 0x050, "RW", "address of Base.OUTPUT, low word"),
    Register("OUTPUT_HI", 0x054, "RW", "address of Base.OUTPUT, bits 39:32"),
    Register("WATCHDOG", 0x060, "RW", "cycles without progress before error 5; 0 is off"),
    Register("CYCLES", 0x064, "RO", "cycles from start to done"),
    Register("DISPATCHED", 0x068, "RO", "instructions dispatched"),
    Register("READ_BEATS", 0x06C, "RO", "AXI read beats"),
    Register("WRITE_BEATS", 0x070, "RO", "AXI write beats"),
    Register("LOG_COUNT", 0x074, "RO", "entries in the log"),
    *(
        Register(f"{e.name}_{what}", 0x080 + 16 * e + 4 * i, "RO", f"{e.name}: cycles {doc}")
        for e in Engine
        for i, (what, doc) in enumerate(
            (
                ("BUSY", "with an instruction in hand"),
                ("WAIT", "with a queued instruction waiting for other engines' completions"),
                ("STALL_IN", "busy and waiting for data from upstream"),
                ("STALL_OUT", "busy and waiting for room downstream"),
            )
        )
    ),
    *(
        Register(f"{e.name}_DONE", 0x0E0 + 4 * e, "RO", f"{e.name}: instructions completed")
        for e in Engine
    ),
)
LOG_OFFSET = 0x800
LOG_ENTRIES = 256
"""Log: two words (cycle; engine << 16 | layer) for each REQUANT or STORE completion."""
ID_VALUE = 0x54494248


def pack_fields(layout: tuple[Field, ...], values: dict[str, int]) -> int:
    """Pack ``values`` from bit 0 upwards; every field must be given and fit.

    Raises
    ------
    ConfigError
        Naming the field that is missing, unknown or out of range.
    """
    unknown = set(values) - {f.name for f in layout}
    if unknown:
        raise ConfigError(f"unknown instruction fields {sorted(unknown)}")
    word, at = 0, 0
    for f in layout:
        if f.name not in values:
            raise ConfigError(f"instruction field {f.name} is missing")
        v = int(values[f.name])
        lo, hi = f.range
        if not lo <= v <= hi:
            raise ConfigError(f"instruction field {f.name} = {v} does not fit {lo}..{hi}")
        word |= (v & ((1 << f.bits) - 1)) << at
        at += f.bits
    return word


def unpack_fields(layout: tuple[Field, ...], word: int) -> dict[str, int]:
    """Inverse of :func:`pack_fields`."""
    values, at = {}, 0
    for f in layout:
        v = (word >> at) & ((1 << f.bits) - 1)
        if f.signed and v >> (f.bits - 1):
            v -= 1 << f.bits
        values[f.name] = v
        at += f.bits
    return values


@dataclass(frozen=True)
class Instruction:
    """One decoded instruction: opcode, layer number, waits by engine and the opcode's fields."""

    opcode: Opcode
    fields: dict[str, int]
    layer: int = 0
    waits: tuple[int, ...] = (0,) * len(Engine)

    def encode(self) -> bytes:
        """The 128 bytes of the instruction."""
        header = {"opcode": self.opcode, "isa": ISA_VERSION, "layer": self.layer}
        header |= {f"wait_{e.name.lower()}": w for e, w in zip(Engine, self.waits, strict=True)}
        word = pack_fields(HEADER, header)
        word |= pack_fields(LAYOUT[self.opcode], self.fields) << header_bits()
        return word.to_bytes(INSTR_BYTES, "little")

    @classmethod
    def decode(cls, data: bytes) -> Instruction:
        """Inverse of :meth:`encode`; ConfigError for an unknown opcode or ISA version."""
        if len(data) != INSTR_BYTES:
            raise ConfigError(f"an instruction has {INSTR_BYTES} bytes, not {len(data)}")
        word = int.from_bytes(data, "little")
        header = unpack_fields(HEADER, word)
        if header["isa"] != ISA_VERSION:
            raise ConfigError(f"instruction of ISA version {header['isa']}, this is {ISA_VERSION}")
        try:
            opcode = Opcode(header["opcode"])
        except ValueError:
            raise ConfigError(f"unknown opcode {header['opcode']}") from None
        waits = tuple(header[f"wait_{e.name.lower()}"] for e in Engine)
        fields = unpack_fields(LAYOUT[opcode], word >> header_bits())
        return cls(opcode, fields, header["layer"], waits)


def header_bits() -> int:
    """Width of the common header in bits."""
    return sum(f.bits for f in HEADER)
