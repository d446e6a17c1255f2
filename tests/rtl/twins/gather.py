"""Twin of hb_gather: the rows of a column memory that one pixel fills, and random commands."""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

from hessbit.hw.config import PACK_LANES, AcceleratorConfig
from hessbit.hw.isa import LAYOUT, Opcode, pack_fields
from hessbit.sim.columns import column_lanes, gather_columns, row_words


def config_for(dn: int, word: int, col_rows: int) -> AcceleratorConfig:
    """A configuration with these sizes."""
    return AcceleratorConfig(
        name="test", dm=4, dn=dn, k=2 * word, r=2, act_rows=1536, weight_rows=64,
        col_rows=col_rows, param_channels=64,
    )  # fmt: skip


def pack_command(fields: dict[str, int]) -> int:
    """The body of a CONV instruction as hb_pkg::conv_t has it."""
    layout = LAYOUT[Opcode.CONV]
    return pack_fields(layout, {f.name: fields.get(f.name, 0) for f in layout})


def expected_rows(
    config: AcceleratorConfig, store: NDArray[np.uint8], fields: dict[str, int], pixel: int
) -> dict[tuple[int, int], list[int]]:
    """Four plane words for each (row within the buffer, k % 2) that the pixel must hold."""
    planes = gather_columns(config, store, fields, np.array([pixel]))[0]
    w, kwords = config.word, fields["kwords"]
    out = {}
    for q in range((fields["ab"] + 3) // 4):
        for k in range(kwords):
            words = [0] * 4
            for b, plane in enumerate(planes[4 * q : 4 * q + 4]):
                bits = np.packbits(plane[k * w : (k + 1) * w], bitorder="little")
                words[b] = int.from_bytes(bits.tobytes(), "little")
            out[q * kwords + k, k % 2] = words
    return out


def tokens_of(fields: dict[str, int], word: int) -> int:
    """Issue slots of an instruction when nothing stalls."""
    chunks = -(-fields["seg_lanes"] // word) * fields["n_seg"] * fields["kh"]
    return fields["npix"] * chunks * (2 if fields["ab"] > 4 else 1)


def shortest_tile(fields: dict[str, int], word: int, dn: int) -> int:
    """Issue slots of the shortest tile of an instruction."""
    pixels = min(dn, fields["npix"] % dn or dn)
    return tokens_of(fields, word) // fields["npix"] * pixels


def needs_short(config: AcceleratorConfig, fields: dict[str, int]) -> bool:
    """Whether the columns fit a quarter of the rows, so that there are four tile buffers."""
    return -(-fields["ab"] // 4) * fields["kwords"] <= config.col_rows // 4


def random_conv(
    rng: random.Random, config: AcceleratorConfig, slots: int, ab: int | None = None
) -> dict[str, int]:
    """Fields of a legal convolution of at most about ``slots`` issue slots."""
    w = config.word
    while True:
        c = rng.choice((3, 16, 16, 32, 48, 64, 128))
        kh, kw = rng.randint(1, 5), rng.randint(1, 5)
        if rng.random() < 0.3:
            kh = kw = 1
        if w == 64 and rng.random() < 0.4:  # segments of 48 lanes: a rest after the last chunk
            c, kw = rng.choice(((16, 3), (48, 1)))
            kh = rng.choice((3, 4))
        stride, pad = rng.randint(1, 2), rng.randint(0, 2)
        dil = rng.choice((1, 1, 2))
        bits = ab or rng.randint(1, 8)
        height, width = rng.randint(1, 12), rng.randint(1, 13)
        out_h = (height + 2 * pad - dil * (kh - 1) - 1) // stride + 1
        out_w = (width + 2 * pad - dil * (kw - 1) - 1) // stride + 1
        if height + 2 * pad < dil * (kh - 1) + 1 or width + 2 * pad < dil * (kw - 1) + 1:
            continue
        dilated = dil > 1 and kw > 1
        n_seg, seg = (kw, c) if dilated else (1, kw * c)
        rw = row_words(width * c, bits, w)
        kwords = -(-column_lanes(kh, n_seg, seg) // w)
        if height * rw > config.half_words or -(-bits // 4) * kwords > config.col_rows // 2:
            continue
        fields = {
            "out_w": out_w, "in_row_words": rw, "in_h": height, "ab": bits, "kh": kh,
            "stride_y": stride, "y0": -pad, "in_row_lanes": width * c, "dil_y": dil,
            "zp_in": rng.getrandbits(bits), "step_x": stride * c, "x0": -pad * c,
            "n_seg": n_seg, "seg_lanes": seg, "seg_step": dil * c, "kwords": kwords, "npix": 1,
            "n_groups": 1, "wb": rng.randint(1, 8), "lo": 0, "hi": 255,
            "in_base": rng.randrange(2) << 15 | rng.randint(0, config.half_words - height * rw),
        }  # fmt: skip
        total = out_h * out_w
        npix = min(total, max(1, slots // tokens_of(fields, w)))
        if rng.random() < 0.5:
            npix = rng.randint(1, npix)
        first = rng.choice((0, total - npix, rng.randint(0, total - npix)))
        fields |= {"npix": npix, "oy0": first // out_w, "ox0": first % out_w}
        assert column_lanes(kh, n_seg, seg) % PACK_LANES == 0
        return fields
