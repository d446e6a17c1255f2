"""Twin of hb_fifo: a bounded queue with the module's ready and valid."""

from __future__ import annotations

from collections import deque


class Fifo:
    """First-word fall-through FIFO of ``depth`` words; :meth:`cycle` is one clock edge."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.words: deque[int] = deque()

    @property
    def in_ready(self) -> bool:
        """Whether a word is taken at the next edge."""
        return len(self.words) < self.depth

    @property
    def out_valid(self) -> bool:
        """Whether :attr:`out_data` holds a word."""
        return bool(self.words)

    @property
    def out_data(self) -> int:
        """The oldest word."""
        return self.words[0]

    def cycle(self, in_valid: bool, in_data: int, out_ready: bool) -> None:
        """Advance one clock edge with these inputs."""
        push = in_valid and self.in_ready
        if out_ready and self.out_valid:
            self.words.popleft()
        if push:
            self.words.append(in_data)
