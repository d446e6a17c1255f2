"""Tile buffers of the column memory: which rows each tile of a stream of instructions takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class TileBuffers:
    """Four buffers where a column fits a quarter of the rows, else two, taken in turn.

    Where the number changes, the stream starts again at row 0 and the first tile must wait until
    every buffer is free.
    """

    col_rows: int
    short: bool = False
    turn: int = 0
    resync: bool = False

    def enter(self, ab: int, kwords: int) -> None:
        """Begin an instruction whose columns have ``kwords`` words of ``ab`` planes."""
        short = -(-ab // 4) * kwords <= self.col_rows // 4
        if short != self.short:
            self.short, self.turn, self.resync = short, 0, True

    @property
    def size(self) -> int:
        """Rows of one buffer."""
        return self.col_rows // (4 if self.short else 2)

    def room(self, used: int) -> bool:
        """Whether the next tile may start while ``used`` buffers are filled or being filled."""
        return used == 0 if self.resync else used < (4 if self.short else 2)

    def take(self) -> int:
        """First row of the next tile's buffer."""
        row = self.turn % (4 if self.short else 2) * self.size
        self.turn += 1
        self.resync = False
        return row
