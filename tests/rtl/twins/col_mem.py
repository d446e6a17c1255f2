"""Twin of hb_col_mem: words by column, row and parity of k, as the contract lays them out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ColMem:
    """Banks are kept as the RTL has them, so that a wrong bank rule shows as wrong data."""

    columns: int
    word: int
    rows: int
    banks: list[list[list[int]]] = field(init=False)

    def __post_init__(self) -> None:
        self.banks = [[[0] * self.rows for _ in range(4)] for _ in range(self.columns)]

    def write(self, column: int, row: int, odd: int, planes: list[int]) -> None:
        """Write one quad of one word."""
        for b, value in enumerate(planes):
            self.banks[column][(b + 2 * odd) % 4][row] = value

    def word_at(self, column: int, row: int, odd: int, plane: int) -> int:
        """One plane of one word."""
        return self.banks[column][(plane + 2 * odd) % 4][row]

    def read(self, row: int, odd: int, plane: int, mode: int, hi_valid: int) -> list[int]:
        """For each column the low and the high word."""
        out = []
        for n in range(self.columns):
            if mode:
                high = self.word_at(n, row, odd, plane + 1)
            else:
                high = self.word_at(n, row + 1, 1 - odd, plane) if hi_valid else 0
            out += [self.word_at(n, row, odd, plane), high]
        return out
