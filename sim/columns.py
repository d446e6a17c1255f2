"""Feature maps in the activation store, and the columns that GATHER makes of them.

The activation store is kept as an array of bits, ``(2, half_words, W)`` of uint8 (0 or 1):
half, word offset, lane. ``docs/microarchitecture.md`` defines the layouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hessbit.errors import ShapeError
from hessbit.hw.config import PACK_LANES, AcceleratorConfig

Bits = NDArray[np.uint8]
Ints = NDArray[np.int64]
Values = NDArray[np.integer[Any]]

HALF_BIT = 15
OFFSET_MASK = (1 << HALF_BIT) - 1


def empty_store(config: AcceleratorConfig) -> Bits:
    """An activation store of zeros, ``(2, half_words, W)``."""
    return np.zeros((2, config.half_words, config.word), np.uint8)


def row_words(lanes: int, bits: int, word: int) -> int:
    """Words of one row of a feature map: ``ceil(lanes / word) * bits``."""
    return -(-lanes // word) * bits


def map_to_words(values: Values, bits: int, word: int) -> Bits:
    """Lay an integer feature map out as words of the activation store.

    Parameters
    ----------
    values : integers, shape (H, W, C)
        Unsigned values below ``2^bits``.
    bits : int
        Planes to make.
    word : int
        Lanes of a word.

    Returns
    -------
    uint8, shape (H * row_words, word)
        Bits; the lanes after the end of a row are zero.
    """
    if values.ndim != 3:
        raise ShapeError(f"a feature map has the shape (H, W, C), not {values.shape}")
    if values.size and (int(values.min()) < 0 or int(values.max()) >> bits):
        raise ShapeError(f"values of a feature map must be in 0..{(1 << bits) - 1}")
    height, lanes = values.shape[0], values.shape[1] * values.shape[2]
    n = -(-lanes // word)
    padded = np.zeros((height, n * word), np.int64)
    padded[:, :lanes] = values.reshape(height, lanes)
    planes = (padded.reshape(height, n, 1, word) >> np.arange(bits).reshape(1, 1, bits, 1)) & 1
    return planes.astype(np.uint8).reshape(height * n * bits, word)


def words_to_map(words: Bits, shape: tuple[int, int, int], bits: int) -> Ints:
    """The feature map of ``shape`` (H, W, C) in ``words``, the inverse of :func:`map_to_words`."""
    height, width, channels = shape
    word = words.shape[1]
    n = -(-width * channels // word)
    if words.shape[0] != height * n * bits:
        raise ShapeError(
            f"a map {shape} of {bits} bits has {height * n * bits} words, not {len(words)}"
        )
    planes = words.reshape(height, n, bits, word).astype(np.int64)
    values: Ints = (planes << np.arange(bits).reshape(1, 1, bits, 1)).sum(axis=2)
    return values.reshape(height, n * word)[:, : width * channels].reshape(shape)


def write_map(store: Bits, base: int, values: Values, bits: int) -> None:
    """Write a feature map (H, W, C) at word address ``base`` (bit 15 is the half)."""
    words = map_to_words(values, bits, store.shape[2])
    half, offset = base >> HALF_BIT, base & OFFSET_MASK
    if offset + len(words) > store.shape[1]:
        raise ShapeError(f"the map ends at word {offset + len(words)} of {store.shape[1]}")
    store[half, offset : offset + len(words)] = words


def read_map(store: Bits, base: int, shape: tuple[int, int, int], bits: int) -> Ints:
    """Read a feature map of ``shape`` (H, W, C) from word address ``base``."""
    count = shape[0] * row_words(shape[1] * shape[2], bits, store.shape[2])
    half, offset = base >> HALF_BIT, base & OFFSET_MASK
    if offset + count > store.shape[1]:
        raise ShapeError(f"the map ends at word {offset + count} of {store.shape[1]}")
    return words_to_map(store[half, offset : offset + count], shape, bits)


def column_lanes(kh: int, n_seg: int, seg_lanes: int) -> int:
    """Lanes of a column: every segment padded to a multiple of 16."""
    return kh * n_seg * -(-seg_lanes // PACK_LANES) * PACK_LANES


def pixel_positions(fields: Mapping[str, int], pixels: Ints) -> tuple[Ints, Ints]:
    """Output row and column of the pixels with these numbers within a CONV (or POOL)."""
    linear = fields["ox0"] + np.asarray(pixels, np.int64)
    return fields["oy0"] + linear // fields["out_w"], linear % fields["out_w"]


def gather_columns(
    config: AcceleratorConfig, store: Bits, fields: Mapping[str, int], pixels: Ints
) -> Bits:
    """The columns that GATHER fills for some pixels of a CONV instruction.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the accelerator.
    store : uint8, shape (2, half_words, W)
        The activation store.
    fields : mapping
        Fields of the CONV instruction.
    pixels : int64, shape (n,)
        Pixel numbers within the instruction, ``0 .. npix-1``.

    Returns
    -------
    uint8, shape (n, ab, kwords * W)
        Bit planes of every pixel's column, plane 0 the least significant.
    """
    word, ab, seg = config.word, fields["ab"], fields["seg_lanes"]
    padded = -(-seg // PACK_LANES) * PACK_LANES
    total = fields["kwords"] * word
    if column_lanes(fields["kh"], fields["n_seg"], seg) > total:
        raise ShapeError(f"a column of {fields['kwords']} words cannot hold its segments")
    oy, ox = pixel_positions(fields, pixels)
    out = np.zeros((len(oy), ab, total), np.uint8)
    half, base = fields["in_base"] >> HALF_BIT, fields["in_base"] & OFFSET_MASK
    zp = (fields["zp_in"] >> np.arange(ab) & 1).astype(np.uint8)
    at = 0
    for ky in range(fields["kh"]):
        iy = oy * fields["stride_y"] + fields["y0"] + ky * fields["dil_y"]
        row_ok = (iy >= 0) & (iy < fields["in_h"])
        for sx in range(fields["n_seg"]):
            start = ox * fields["step_x"] + fields["x0"] + sx * fields["seg_step"]
            lane = start[:, None] + np.arange(seg)
            ok = row_ok[:, None] & (lane >= 0) & (lane < fields["in_row_lanes"])
            address = base + iy[:, None] * fields["in_row_words"] + lane // word * ab
            address = np.where(ok, address, 0)
            bit = np.where(ok, lane % word, 0)
            for plane in range(ab):
                value = store[half, address + np.where(ok, plane, 0), bit]
                out[:, plane, at : at + seg] = np.where(ok, value, zp[plane])
            at += padded
    return out
