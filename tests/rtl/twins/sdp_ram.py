"""Twin of hb_sdp_ram: words of which some bits are known, read data held until the next read."""

from __future__ import annotations


class SdpRam:
    """Memory of ``depth`` words; :meth:`cycle` is one clock edge.

    A word is a pair: its value, and the bits of it that have been written.
    """

    def __init__(self, width: int, granule: int, depth: int) -> None:
        self.width, self.granule = width, granule
        self.words = [(0, 0)] * depth
        self.rd_data = (0, 0)

    def mask(self, enables: int) -> int:
        """Bits that these write enables cover."""
        one = (1 << self.granule) - 1
        lanes = range(self.width // self.granule)
        return sum(one << g * self.granule for g in lanes if enables >> g & 1)

    def cycle(self, enables: int, wr_addr: int, wr_data: int, rd_addr: int | None) -> None:
        """Write and read: the read sees the memory before the write; beyond the end is nothing."""
        depth = len(self.words)
        if rd_addr is not None:
            self.rd_data = self.words[rd_addr] if rd_addr < depth else (0, 0)
        if wr_addr < depth:
            value, known = self.words[wr_addr]
            mask = self.mask(enables)
            self.words[wr_addr] = (value & ~mask | wr_data & mask, known | mask)
