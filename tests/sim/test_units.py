"""REQUANT and POOL as array functions against loops written from the documents' sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hessbit.errors import SimulationError
from hessbit.hw.config import AcceleratorConfig, preset
from hessbit.hw.isa import PARAM_FIELDS, PoolOp, pack_fields
from hessbit.sim.columns import empty_store, read_map, write_map
from hessbit.sim.units import ParamTable, beat_order, pool_stream, requant_stream

CONFIG = preset("tiny")
FIELDS = {
    "npix": 11, "oy0": 1, "ox0": 2, "out_w": 5, "n_groups": 3, "p_base": 8, "out_base": 40,
    "out_row_words": 25, "out_c": 16, "out_c0": 4, "ob": 5, "zp_out": 7, "lo": 2, "hi": 29,
    "skip_en": 1, "skip_base": (1 << 15) + 3, "skip_row_words": 15, "skip_bits": 3, "skip_zp": 2,
}  # fmt: skip
POOL = FIELDS | {
    "in_base": 100, "in_row_words": 28, "in_h": 6, "ab": 4, "kh": 3, "stride_y": 2, "y0": -1,
    "in_w": 7, "in_c": 16, "kw": 2, "stride_x": 1, "x0": -2,
}  # fmt: skip


def beats(config: AcceleratorConfig, npix: int, n_groups: int) -> Iterator[tuple[int, int]]:
    """Pixel and first channel in the order tile, group, pixel, slice."""
    for tile in range(0, npix, config.dn):
        for group in range(n_groups):
            for pixel in range(tile, min(tile + config.dn, npix)):
                for lane in range(0, config.dm, config.r):
                    yield pixel, group * config.dm + lane


def place(pixel: int) -> tuple[int, int]:
    """Output row and column of a pixel of FIELDS."""
    at = FIELDS["ox0"] + pixel
    return FIELDS["oy0"] + at // FIELDS["out_w"], at % FIELDS["out_w"]


@pytest.mark.parametrize("npix", [1, 4, 5, 11])
def test_beat_order(npix: int) -> None:
    pixel, channel = beat_order(CONFIG, npix, 3)
    got = list(zip(pixel.tolist(), channel.tolist(), strict=True))
    assert got == list(beats(CONFIG, npix, 3))


def test_requant_stream_against_loops() -> None:
    rng = np.random.default_rng(0)
    store = rng.integers(0, 2, empty_store(CONFIG).shape).astype(np.uint8)
    table = ParamTable.zeros(CONFIG.param_channels)
    entries = [
        {"bias": int(rng.integers(-99, 99)), "m": 40000 + i, "s": 18, "m2": 30000, "t": 2,
         "reserved": 0}
        for i in range(12)
    ]  # fmt: skip
    packed = b"".join(pack_fields(PARAM_FIELDS, e).to_bytes(16, "little") for e in entries)
    table.load(FIELDS["p_base"], packed)
    order = list(beats(CONFIG, FIELDS["npix"], 3))
    results = rng.integers(-100, 200, (len(order), CONFIG.r))
    before = read_map(store, FIELDS["out_base"], (4, 5, 16), 5)
    skip = read_map(store, FIELDS["skip_base"], (4, 5, 16), 3)
    want = before.copy()
    for beat, (pixel, channel) in zip(results, order, strict=True):
        for lane in range(CONFIG.r):
            e, (oy, ox), c = entries[channel + lane], place(pixel), channel + lane + 4
            total = (int(beat[lane]) + e["bias"]) * e["m"] + (1 << 17)
            total += ((int(skip[oy, ox, c]) - 2) * e["m2"]) << 2
            want[oy, ox, c] = min(max((total >> 18) + 7, 2), 29)
    requant_stream(CONFIG, FIELDS, results, table, store)
    assert np.array_equal(read_map(store, FIELDS["out_base"], (4, 5, 16), 5), want)
    assert not np.array_equal(before, want)


@pytest.mark.parametrize("op", list(PoolOp))
def test_pool_stream_against_loops(op: PoolOp) -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 16, (6, 7, 16))
    store = empty_store(CONFIG)
    write_map(store, POOL["in_base"], values, 4)
    got = pool_stream(CONFIG, POOL | {"pool_op": op}, store)
    for beat, (pixel, channel) in zip(got, beats(CONFIG, POOL["npix"], 3), strict=True):
        oy, ox = place(pixel)
        for lane in range(CONFIG.r):
            taps = [
                int(values[iy, ix, channel + lane + 4])
                for iy in range(2 * oy - 1, 2 * oy + 2)
                for ix in range(ox - 2, ox)
                if 0 <= iy < 6 and 0 <= ix < 7
            ]
            assert beat[lane] == (sum(taps) if op is PoolOp.SUM else max(taps, default=0))


def test_accesses_outside_are_errors() -> None:
    store, table = empty_store(CONFIG), ParamTable.zeros(16)
    n = len(list(beats(CONFIG, 11, 3)))
    results = np.zeros((n, CONFIG.r), np.int64)
    with pytest.raises(SimulationError, match="results for"):
        requant_stream(CONFIG, FIELDS, results[1:], table, store)
    with pytest.raises(SimulationError, match="parameter entry 19 of 16"):
        requant_stream(CONFIG, FIELDS, results, table, store)
    with pytest.raises(SimulationError, match="parameter entries"):
        table.load(15, bytes(32))
    table = ParamTable.zeros(CONFIG.param_channels)
    with pytest.raises(SimulationError, match="the output reaches word"):
        requant_stream(CONFIG, FIELDS | {"out_base": 4090}, results, table, store)
    with pytest.raises(SimulationError, match="lane"):
        requant_stream(CONFIG, FIELDS | {"out_c": 32768}, results, table, store)
    with pytest.raises(SimulationError, match="the pooled map reaches word"):
        pool_stream(CONFIG, POOL | {"pool_op": 0, "in_base": 4095}, store)
