"""Twin of hb_popcount."""

from __future__ import annotations


def popcount(value: int) -> int:
    """Number of ones of a non-negative integer."""
    return bin(value).count("1")
