"""Twin of hb_store: the bytes that a STORE writes, from the words of the activation store."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def stored_bytes(fields: Mapping[str, int], word_at: Callable[[int], int], word: int) -> bytes:
    """Bytes in order; ``word_at(address)`` is a word of the activation store."""
    out, address, bits = bytearray(), fields["src"], fields["bits"]
    for _ in range(fields["rows"]):
        for x in range(0, fields["row_lanes"], word):
            planes = [word_at(address + p & 0xFFFF) for p in range(bits)]
            for lane in range(min(word, fields["row_lanes"] - x)):
                out.append(sum((w >> lane & 1) << p for p, w in enumerate(planes)))
            address += bits
    return bytes(out)
