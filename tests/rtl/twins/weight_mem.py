"""Twin of hb_weight_mem."""

from __future__ import annotations


class WeightMem:
    """Wide words as integers; ``cycle`` is one clock edge.

    Attributes
    ----------
    data : int or None
        ``rd_data_o`` after the edge, None where it depends on a word that was never written or that
        was written in the cycle of its read.
    """

    def __init__(self, *, dm: int, k: int) -> None:
        self.dm, self.k = dm, k
        self.chunks: dict[tuple[int, int], int] = {}
        self.raw: int | None = None
        self.mode = self.odd = 0
        self.data: int | None = None

    def word(self, address: int) -> int | None:
        """The wide word at ``address``, None where a part of it is unknown."""
        parts = [self.chunks.get((address, c)) for c in range(self.dm * self.k // 64)]
        known = [p for p in parts if p is not None]
        if len(known) < len(parts):
            return None
        return sum(p << (64 * c) for c, p in enumerate(known))

    def select(self) -> int | None:
        """What stage 2 makes of the wide word in stage 1."""
        if self.raw is None or not self.mode:
            return self.raw
        half = self.k // 2
        mask, out = (1 << half) - 1, 0
        for m in range(self.dm):
            word = self.raw >> (m * self.k + self.odd * half) & mask
            out |= (word | word << half) << (m * self.k)
        return out

    def cycle(
        self, *, write: tuple[int, int, int] | None, en: bool, address: int, mode: int, odd: int
    ) -> None:
        """One edge; ``write`` is address, chunk and data."""
        if en:
            self.data = self.select()
            self.raw = None if write and write[0] == address else self.word(address)
            self.mode, self.odd = mode, odd
        if write:
            self.chunks[write[:2]] = write[2]
