"""Twin of hb_csr: register values after reset, bits that can be written, counters, log."""

from __future__ import annotations

from dataclasses import dataclass, field

from hessbit.hw.isa import ID_VALUE, ISA_VERSION, LOG_ENTRIES, REGISTERS, Engine

WIDTHS = {"IRQ_ENABLE": 2} | {f"{n}_HI": 8 for n in ("PROG", "MODEL", "INPUT", "OUTPUT")}
"""Bits of the writable registers that are not 32 bits wide."""
COUNTERS = ("BUSY", "WAIT", "STALL_IN", "STALL_OUT")


def after_reset(hash_lo: int, hash_hi: int) -> dict[str, int]:
    """Value of every readable register."""
    values = {r.name: 0 for r in REGISTERS}
    return values | {
        "ID": ID_VALUE, "VERSION": ISA_VERSION, "CFG_HASH_LO": hash_lo, "CFG_HASH_HI": hash_hi,
    }  # fmt: skip


@dataclass
class Stats:
    """Counters and log of a run; :meth:`cycle` is one clock."""

    values: dict[str, int] = field(default_factory=dict)
    log: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("CYCLES", "READ_BEATS", "WRITE_BEATS"):
            self.values[name] = 0
        for e in Engine:
            for what in (*COUNTERS, "DONE"):
                self.values[f"{e.name}_{what}"] = 0

    def cycle(
        self, beats: tuple[bool, bool], events: dict[str, int], layers: dict[Engine, int]
    ) -> None:
        """``events``: a bit for each engine, by the name of the counter."""
        for e in (Engine.REQUANT, Engine.STORE):
            if events["DONE"] >> e & 1 and len(self.log) < LOG_ENTRIES:
                self.log.append((self.values["CYCLES"], e << 16 | layers[e]))
        self.values["CYCLES"] += 1
        self.values["READ_BEATS"] += beats[0]
        self.values["WRITE_BEATS"] += beats[1]
        for e in Engine:
            for what, bits in events.items():
                self.values[f"{e.name}_{what}"] += bits >> e & 1
