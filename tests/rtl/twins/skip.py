"""Twin of hb_skip: the bytes of a residual map in the order of the results, and their addresses."""

from __future__ import annotations

from collections.abc import Mapping

from hessbit.sim.columns import HALF_BIT, OFFSET_MASK, Bits
from hessbit.sim.units import beat_order
from twins.walk import sizes


def residual(
    dm: int, dn: int, fields: Mapping[str, int], store: Bits
) -> tuple[list[int], list[tuple[int, ...]]]:
    """Word address and ``dm`` bytes of every (group, pixel)."""
    word, bits = store.shape[2], fields["skip_bits"]
    base = fields["skip_base"]
    addresses, values = [], []
    pixels, channels = beat_order(sizes(dm, dn, dm), fields["npix"], fields["n_groups"])
    for pixel, channel in zip(pixels.tolist(), channels.tolist(), strict=True):
        row, column = divmod(fields["ox0"] + pixel, fields["out_w"])
        index, lane = divmod(column * fields["out_c"] + fields["out_c0"] + channel, word)
        offset = (fields["oy0"] + row) * fields["skip_row_words"] + index * bits
        address = (base & OFFSET_MASK) + offset
        planes = store[base >> HALF_BIT, address : address + bits, lane : lane + dm]
        addresses.append(base & ~OFFSET_MASK | address)
        values.append(tuple(sum(int(v) << p for p, v in enumerate(c)) for c in planes.T))
    return addresses, values
