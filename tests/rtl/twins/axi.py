"""Twin of the AXI masters' splitting of a request into bursts."""

from __future__ import annotations

PAGE = 4096
BURST = 16
OUTSTANDING = 8


def split(address: int, beats: int) -> list[tuple[int, int]]:
    """Bursts (address, beats) of at most 16 beats of 8 bytes that never cross 4 KiB, in order."""
    bursts = []
    while beats:
        n = min(BURST, beats, (PAGE - address % PAGE) // 8)
        bursts.append((address, n))
        address += 8 * n
        beats -= n
    return bursts
