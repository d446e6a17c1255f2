"""Bit images of weights and requantiser parameters, as they lie in DDR and on chip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hessbit.errors import UnsupportedError
from hessbit.hw.config import PACK_LANES, AcceleratorConfig
from hessbit.hw.ir import Compute, Conv, Input, Op, Output, Tensor
from hessbit.hw.isa import PARAM_BYTES, PARAM_FIELDS, pack_fields
from hessbit.hw.plan import ConvShape, pad_to

Bits = NDArray[np.uint8]


def column_bits(config: AcceleratorConfig, op: Conv, shape: ConvShape, lanes_c: int) -> Bits:
    """Weight planes in the order of a column's lanes.

    Returns
    -------
    uint8, shape (C_out, wb, kwords * W)
        Zero in padding lanes; of bipolar weights 1 stands for +1.
    """
    w = (op.weights + 1) // 2 if op.bipolar else op.weights
    c_out, kh, _, c = w.shape
    planes = np.stack([(w >> i) & 1 for i in range(op.weight_bits)], 1).astype(np.uint8)
    planes = np.pad(planes, [(0, 0)] * 4 + [(0, lanes_c - c)])
    segments = planes.reshape(c_out, op.weight_bits, kh * shape.n_seg, shape.seg_lanes)
    padding = pad_to(shape.seg_lanes, PACK_LANES) - shape.seg_lanes
    lanes = np.pad(segments, [(0, 0)] * 3 + [(0, padding)]).reshape(c_out, op.weight_bits, -1)
    return np.pad(lanes, [(0, 0), (0, 0), (0, shape.kwords * config.word - lanes.shape[2])])


def weight_image(
    config: AcceleratorConfig, op: Conv, shape: ConvShape, lanes_c: int, groups: int
) -> Bits:
    """Wide words of ``groups`` groups of output channels.

    Returns
    -------
    uint8, shape (groups, w_stride * dm * k / 8)
        Bytes in DDR, one row a group.
    """
    dm, k, word = config.dm, config.k, config.word
    bits = column_bits(config, op, shape, lanes_c)
    bits = np.pad(bits, [(0, groups * dm - len(bits)), (0, 0), (0, 0)])
    if shape.lane_mode == 0:  # plane, pair of words | channel, lane
        kp = -(-shape.kwords // 2)
        bits = np.pad(bits, [(0, 0), (0, 0), (0, kp * k - bits.shape[2])])
        wide = bits.reshape(groups, dm, op.weight_bits * kp, k).transpose(0, 2, 1, 3)
    else:  # plane and word two by two | channel, half, lane
        rows = bits.reshape(groups, dm, op.weight_bits * shape.kwords, word)
        rows = np.pad(rows, [(0, 0), (0, 0), (0, rows.shape[2] % 2), (0, 0)])
        wide = rows.reshape(groups, dm, shape.w_stride, 2, word).transpose(0, 2, 1, 3, 4)
    return np.packbits(wide.reshape(groups, -1), axis=1, bitorder="little")


def param_image(op: Compute, x: Tensor, lanes_c: int, channels: int) -> Bits:
    """Parameter entries of ``channels`` channels; those beyond the layer's give the zero point.

    Returns
    -------
    uint8, shape (channels, 16)

    Raises
    ------
    UnsupportedError
        When a bipolar layer reads padding channels that cannot hold the zero point.
    """
    k = op.constants
    bias = k.bias
    if isinstance(op, Conv) and op.bipolar and lanes_c > x.c:
        # Padding lanes hold the zero point and weigh -1.
        bias = bias + x.zero_point * op.weights[0, :, :, 0].size * (lanes_c - x.c)
    empty = {"bias": 0, "m": 0, "s": 1, "t": 0, "reserved": 0, "m2": 0}
    rows = []
    for c in range(channels):
        values = empty
        if c < len(bias):
            values = {
                "bias": int(bias[c]),
                "m": int(k.m[c]),
                "s": int(k.s[c]),
                "t": int(k.t[c]),
                "reserved": 0,
                "m2": int(k.m2[c]),
            }
        rows.append(pack_fields(PARAM_FIELDS, values).to_bytes(PARAM_BYTES, "little"))
    return np.frombuffer(b"".join(rows), np.uint8).reshape(channels, PARAM_BYTES)


def check_padding(producer: Op, node: str) -> None:
    """Padding channels of ``producer`` hold its zero point only if the clamp lets it pass."""
    assert not isinstance(producer, Input | Output)  # only maps made on chip have padding
    k = producer.constants
    if not k.lo <= k.zp <= k.hi:
        raise UnsupportedError(
            "Conv", node, "bipolar weights on an input that excludes its zero point"
        )
