"""Twin of hb_pack: slices of a pixel collected to one write of planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Write:
    """A write on offer: its place, its ``Dm`` values, and whether it is the instruction's last."""

    address: int
    granule: int
    last: bool
    values: tuple[int, ...]

    def plane(self, p: int) -> int:
        """Plane ``p`` of the values, the first value in bit 0."""
        return sum((v >> p & 1) << lane for lane, v in enumerate(self.values))


class Pack:
    """Collects slices; :meth:`cycle` is one clock edge."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.write: Write | None = None

    def in_ready(self, wr_ready: bool) -> bool:
        """Whether a slice is taken at the next edge."""
        return self.write is None or wr_ready

    def cycle(
        self,
        slice_: Sequence[int] | None,
        last_slice: bool,
        last: bool,
        place: tuple[int, int],
        wr_ready: bool,
    ) -> None:
        """Advance with a slice on offer (or none), its flags and its address and granule."""
        if not self.in_ready(wr_ready):
            return
        self.write = None
        if slice_ is None:
            return
        self.values += slice_
        if last_slice:
            self.write = Write(*place, last, tuple(self.values))
            self.values = []
