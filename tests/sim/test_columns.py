"""Layouts and columns against im2col on the integer map."""

import random

import numpy as np
import pytest

from hessbit.errors import ShapeError
from hessbit.hw.config import PRESETS
from hessbit.sim.columns import (
    column_lanes,
    empty_store,
    gather_columns,
    map_to_words,
    read_map,
    row_words,
    words_to_map,
    write_map,
)


@pytest.mark.parametrize("word", [16, 32, 64])
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 5, 16), (4, 7, 3), (2, 3, 48)])
def test_layout_round_trip_and_addresses(word: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    bits = 5
    values = rng.integers(0, 1 << bits, shape)
    words = map_to_words(values, bits, word)
    assert np.array_equal(words_to_map(words, shape, bits), values)
    height, width, channels = shape
    per_row = row_words(width * channels, bits, word)
    assert len(words) == height * per_row
    for _ in range(50):  # the address rule of docs/microarchitecture.md, literally
        y, x, c = (int(rng.integers(n)) for n in shape)
        plane, lane = int(rng.integers(bits)), x * channels + c
        address = y * per_row + lane // word * bits + plane
        assert words[address, lane % word] == values[y, x, c] >> plane & 1


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("seed", range(25))
def test_columns_are_im2col(name: str, seed: int) -> None:
    """Kernel row, kernel column, channel; segments padded to 16 lanes; zero point around."""
    config = PRESETS[name]
    rng = random.Random(f"{name} {seed}")
    bits = rng.randint(1, 8)
    c = rng.choice((3, 16, 32, 48))
    kh, kw, stride, pad = (rng.randint(*r) for r in ((1, 4), (1, 4), (1, 2), (0, 2)))
    dil = rng.choice((1, 2))
    height, width = rng.randint(dil * kh, 10), rng.randint(dil * kw, 10)
    zp = rng.getrandbits(bits)
    values = np.random.default_rng(seed).integers(0, 1 << bits, (height, width, c))
    store, base = empty_store(config), rng.randrange(2) << 15 | rng.randrange(50)
    write_map(store, base, values, bits)
    assert np.array_equal(read_map(store, base, values.shape, bits), values)

    n_seg, seg = (kw, c) if dil > 1 else (1, kw * c)
    out_h = (height + 2 * pad - dil * (kh - 1) - 1) // stride + 1
    out_w = (width + 2 * pad - dil * (kw - 1) - 1) // stride + 1
    kwords = -(-column_lanes(kh, n_seg, seg) // config.word)
    first = rng.randrange(out_h * out_w)
    npix = rng.randint(1, out_h * out_w - first)
    fields = {
        "out_w": out_w, "oy0": first // out_w, "ox0": first % out_w, "npix": npix, "in_base": base,
        "in_row_words": row_words(width * c, bits, config.word), "in_h": height, "ab": bits,
        "kh": kh, "stride_y": stride, "y0": -pad, "in_row_lanes": width * c, "zp_in": zp,
        "dil_y": dil, "step_x": stride * c, "x0": -pad * c, "n_seg": n_seg, "seg_lanes": seg,
        "seg_step": dil * c, "kwords": kwords,
    }  # fmt: skip
    planes = gather_columns(config, store, fields, np.arange(npix)).astype(np.int64)
    got = (planes << np.arange(bits)[:, None]).sum(1)
    around = np.pad(values, ((pad, pad), (pad, pad), (0, 0)), constant_values=zp)
    for i in range(npix):
        oy, ox = divmod(first + i, out_w)
        y, x = oy * stride, ox * stride
        window = around[y : y + dil * kh : dil, x : x + dil * kw : dil]
        segments = window.reshape(kh * n_seg, seg)
        want = np.pad(segments, ((0, 0), (0, -seg % 16))).reshape(-1)
        want = np.pad(want, (0, kwords * config.word - len(want)))
        assert np.array_equal(got[i], want)


def test_faults_are_reported() -> None:
    config = PRESETS["tiny"]
    with pytest.raises(ShapeError, match=r"0\.\.3"):
        map_to_words(np.full((1, 1, 16), 4), 2, 16)
    with pytest.raises(ShapeError, match="ends at word"):
        write_map(empty_store(config), config.half_words - 1, np.zeros((2, 1, 16), np.int64), 1)
    with pytest.raises(ShapeError, match="words"):
        words_to_map(np.zeros((3, 16), np.uint8), (2, 1, 16), 1)
    with pytest.raises(ShapeError, match="shape"):
        map_to_words(np.zeros((2, 2), np.int64), 2, 16)
