"""Twin of hb_param_mem: rows of R entries, read data held until the next read."""

from __future__ import annotations


class ParamMem:
    """Parameter memory of ``entries`` packed entries; :meth:`cycle` is one clock edge."""

    def __init__(self, r: int, entries: int) -> None:
        self.r = r
        self.entries: list[int | None] = [None] * entries
        self.rd_data: list[int | None] = [None] * r

    def cycle(self, write: tuple[int, int] | None, read_row: int | None) -> None:
        """Write (entry, value), read a row: the read sees the memory before the write."""
        if read_row is not None:
            self.rd_data = self.entries[read_row * self.r : (read_row + 1) * self.r]
        if write is not None:
            self.entries[write[0]] = write[1]
