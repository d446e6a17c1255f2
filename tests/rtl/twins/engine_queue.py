"""Twin of hb_engine_queue: a bounded queue whose head waits for completion counters."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One command with its layer and the completions it waits for."""

    data: int
    layer: int
    waits: tuple[int, ...]


class EngineQueue:
    """Up to ``depth`` entries."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.entries: deque[Entry] = deque()

    @property
    def ready(self) -> bool:
        """Room for one more."""
        return len(self.entries) < self.depth

    def met(self, counts: tuple[int, ...]) -> bool:
        """There is a head and every engine has completed enough for it."""
        return bool(self.entries) and all(
            c >= w for c, w in zip(counts, self.entries[0].waits, strict=True)
        )
