"""Twin of hb_load: the writes that a LOAD does, from the bytes that it reads."""

from __future__ import annotations

from collections.abc import Mapping

from hessbit.hw.isa import PARAM_FIELDS

PARAM_BITS = sum(f.bits for f in PARAM_FIELDS)


def weights(fields: Mapping[str, int], data: bytes, chunks: int) -> list[tuple[int, int, int]]:
    """Writes (wide word, chunk, 64 bits) in order."""
    beats = [int.from_bytes(data[8 * i : 8 * i + 8], "little") for i in range(fields["beats"])]
    return [(fields["dst"] + i // chunks, i % chunks, b) for i, b in enumerate(beats)]


def params(fields: Mapping[str, int], data: bytes) -> list[tuple[int, int]]:
    """Writes (entry, param_t) in order."""
    mask = (1 << PARAM_BITS) - 1
    return [
        (fields["dst"] + i, int.from_bytes(data[16 * i : 16 * i + 16], "little") & mask)
        for i in range(fields["beats"] // 2)
    ]


def acts(fields: Mapping[str, int], data: bytes, word: int) -> list[tuple[int, tuple[int, ...]]]:
    """Writes (address, planes of a word) in order."""
    writes, address, lanes, bits = [], fields["dst"], fields["row_bytes"], fields["bits"]
    for y in range(fields["rows"]):
        row = data[y * lanes : (y + 1) * lanes]
        for x in range(0, lanes, word):
            part = row[x : x + word]
            planes = tuple(
                sum((byte >> p & 1) << lane for lane, byte in enumerate(part)) for p in range(bits)
            )
            writes.append((address & 0xFFFF, planes))
            address += bits
    return writes
