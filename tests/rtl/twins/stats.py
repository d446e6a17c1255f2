"""Twin of hb_stats: the counters of twins.csr, and the log in the order in which it is written."""

from __future__ import annotations

from hessbit.hw.isa import LOG_ENTRIES, LOG_OFFSET, REGISTERS, Engine
from twins.csr import Stats

NAMES = {r.offset: r.name for r in REGISTERS}


class StatsModule:
    """Counters and log memory; :meth:`cycle` is one clock edge, reads come before it.

    A completion of REQUANT is written in its cycle, one of STORE in the first cycle after it
    without one of REQUANT, so the environment must not end REQUANT in two cycles in a row.
    """

    def __init__(self) -> None:
        self.memory: list[tuple[int, int] | None] = [None] * LOG_ENTRIES
        self.clear()

    def clear(self) -> None:
        """Counters and log start again; the log memory keeps its words."""
        self.stats = Stats()
        self.log_count = 0
        self.pending: tuple[int, int] | None = None

    def read(self, address: int) -> int | None:
        """Value at a byte offset; ``None`` where the log was never written."""
        if address >= LOG_OFFSET:
            entry = self.memory[(address - LOG_OFFSET) // 8]
            return None if entry is None else entry[address // 4 % 2]
        name = NAMES.get(address, "")
        return self.log_count if name == "LOG_COUNT" else self.stats.values.get(name, 0)

    def write_log(self, entry: tuple[int, int]) -> None:
        """Append an entry while there is room."""
        if self.log_count < LOG_ENTRIES:
            self.memory[self.log_count] = entry
            self.log_count += 1

    def cycle(
        self,
        clear: bool,
        run: bool,
        beats: tuple[bool, bool],
        events: dict[str, int],
        layers: dict[Engine, int],
    ) -> None:
        """``events``: a bit for each engine, by the name of the counter."""
        done = events["DONE"] if run else 0
        now = {e: (self.stats.values["CYCLES"], e << 16 | layer) for e, layer in layers.items()}
        if done >> Engine.REQUANT & 1:
            self.write_log(now[Engine.REQUANT])
        elif self.pending is not None:
            self.write_log(self.pending)
            self.pending = None
        if done >> Engine.STORE & 1:
            assert self.pending is None, "STORE ended twice before its entry was written"
            self.pending = now[Engine.STORE]
        if run:
            self.stats.cycle(beats, events, layers)
        if clear:
            self.clear()
