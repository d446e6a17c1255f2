"""hb_requant_lane against hessbit.numerics.requantize, its twin."""

from __future__ import annotations

import random
from collections import deque

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from hessbit.hw.isa import PARAM_FIELDS, pack_fields
from hessbit.numerics import ACC_MAX, ACC_MIN, requantize

LATENCY = 8


def near(rng: random.Random, lo: int, hi: int) -> int:
    """A value of lo..hi: an end, zero, small, or anything."""
    kind = rng.randrange(6)
    if kind == 0:
        return lo
    if kind == 1:
        return hi
    if kind == 2:
        return max(lo, min(hi, rng.randint(-3, 3)))
    if kind == 3:
        return max(lo, min(hi, rng.randint(-(1 << rng.randrange(32)), 1 << rng.randrange(32))))
    return rng.randint(lo, hi)


def expected(acc: int, skip: int, p: dict[str, int], c: dict[str, int]) -> int:
    """The twin on one value."""

    def one(x: int) -> np.ndarray:
        return np.array([x], np.int64)

    y = requantize(
        one(acc),
        bias=one(p["bias"]),
        m=one(p["m"]),
        s=one(p["s"]),
        zp=c["zp_out"],
        lo=c["lo"],
        hi=c["hi"],
        skip=one(skip) if c["skip_en"] else None,
        zp_skip=c["skip_zp"],
        m2=one(p["m2"]),
        t=one(p["t"]),
    )
    return int(y[0])


@cocotb.test()
async def random_values(dut) -> None:
    """Extremes of every operand and ordinary layers, with the pipeline held now and then."""
    rng = random.Random(cocotb.RANDOM_SEED)
    Clock(dut.clk_i, 10, "ns").start()
    dut.en_i.value = 0
    await FallingEdge(dut.clk_i)
    inner = 0
    for _ in range(25):
        lo = near(rng, 0, 255)
        c = {
            "skip_en": rng.random() < 0.7,
            "skip_zp": near(rng, 0, 255),
            "zp_out": near(rng, 0, 255),
            "lo": rng.choice((0, lo)),
            "hi": rng.choice((255, rng.randint(lo, 255))),
        }
        for name, value in c.items():
            getattr(dut, f"{name}_i").value = int(value)
        ordinary, p_en = rng.random() < 0.5, rng.choice((0.4, 1.0))
        pipe: deque[int] = deque()
        for _ in range(150):
            p = {"reserved": 0, "m2": near(rng, -65536, 65535), "t": near(rng, 0, 30)}
            p |= {"bias": near(rng, ACC_MIN, ACC_MAX), "m": near(rng, -65536, 65535)}
            p["s"] = near(rng, 1, 40)
            acc = near(rng, max(ACC_MIN, ACC_MIN - p["bias"]), min(ACC_MAX, ACC_MAX - p["bias"]))
            if ordinary:  # results spread over 0..255
                size = rng.randint(8, 24)
                p |= {"bias": rng.randint(-(1 << size), 1 << size), "m": rng.randint(32768, 65535)}
                p |= {"s": size + 8, "m2": rng.randint(32768, 65535), "t": size - 8}
                acc = rng.randint(0, 1 << size)
            skip = near(rng, 0, 255)
            enabled = rng.random() < p_en
            dut.en_i.value = enabled
            dut.acc_i.value = acc
            dut.skip_i.value = skip
            dut.param_i.value = pack_fields(PARAM_FIELDS, p)
            await FallingEdge(dut.clk_i)
            if enabled:
                pipe.append(expected(acc, skip, p, c))
                if len(pipe) > LATENCY - 1:
                    want = pipe.popleft()
                    inner += c["lo"] < want < c["hi"]
                    assert int(dut.y_o.value) == want
    assert inner > 100, "too few results between the bounds"
