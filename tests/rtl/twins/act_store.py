"""Twin of hb_act_store: arbitration and contents, cycle by cycle."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Read:
    """One answer on its way: the reader, and the eight words (None beyond the half)."""

    reader: int
    words: list[int | None]


@dataclass
class ActStore:
    """Words are integers of ``word`` bits; ``cycle`` is one clock edge."""

    word: int
    granule: int
    half_words: int
    halves: list[list[int]] = field(init=False)
    pipe: list[list[Read]] = field(init=False)

    def __post_init__(self) -> None:
        self.halves = [[0] * self.half_words for _ in range(2)]
        self.pipe = [[], []]

    @staticmethod
    def grants(requests: list[int | None]) -> list[bool]:
        """Which of the requests (addresses, lowest index first) are granted."""
        taken: set[int] = set()
        out = []
        for address in requests:
            half = None if address is None else address >> 15
            out.append(half is not None and half not in taken)
            if half is not None:
                taken.add(half)
        return out

    def cycle(
        self,
        reads: list[int | None],
        writes: list[tuple[int, int, int, list[int]] | None],
    ) -> list[Read]:
        """One clock edge; returns the answers that appear after it.

        A write is ``(address, count, mask, words)``.
        """
        granted = []
        for reader, (address, ok) in enumerate(zip(reads, self.grants(reads), strict=True)):
            if ok and address is not None:
                half, offset = address >> 15, address & 0x7FFF
                granted.append(
                    Read(
                        reader,
                        [
                            self.halves[half][a] if a < self.half_words else None
                            for a in range(offset, offset + 8)
                        ],
                    )
                )
        wanted = [None if w is None else w[0] for w in writes]
        for write, ok in zip(writes, self.grants(wanted), strict=True):
            if ok and write is not None:
                address, count, mask, words = write
                half, offset = address >> 15, address & 0x7FFF
                lanes = sum(
                    ((1 << self.granule) - 1) << g * self.granule
                    for g in range(self.word // self.granule)
                    if mask >> g & 1
                )
                for j in range(count):
                    old = self.halves[half][offset + j]
                    self.halves[half][offset + j] = old & ~lanes | words[j] & lanes
        self.pipe.append(granted)
        return self.pipe.pop(1)
