"""Activation store seen from one engine: a read port with fixed latency and a write port.

Used in a loop of one cycle: drive at the falling edge, look at the settled handshakes, advance.
"""

from __future__ import annotations

import random

import numpy as np

from hessbit.sim.columns import HALF_BIT, OFFSET_MASK, Bits

LATENCY = 2
FETCH_WORDS = 8


class StorePort:
    """Store words as integers; reads beyond the end return noise, writes there are an error."""

    def __init__(self, image: Bits, dm: int, rng: random.Random) -> None:
        self.rng, self.dm = rng, dm
        self.word = image.shape[2]
        packed = np.packbits(image, axis=2, bitorder="little")
        self.words = [[int.from_bytes(w.tobytes(), "little") for w in half] for half in packed]
        self.pending: list[int | None] = [None] * LATENCY
        self.reads = self.writes = 0

    def image(self) -> Bits:
        """The store as an array of bits."""
        size = self.word // 8
        raw = b"".join(w.to_bytes(size, "little") for half in self.words for w in half)
        packed = np.frombuffer(raw, np.uint8).reshape(2, -1, size)
        return np.unpackbits(packed, axis=2, bitorder="little")

    def drive_read(self, dut, ready: bool) -> None:
        """Set ready and the response due in this cycle."""
        dut.rd_ready_i.value = ready
        data = self.pending[0]
        dut.rd_rsp_valid_i.value = data is not None
        noise = self.rng.getrandbits(FETCH_WORDS * self.word)
        dut.rd_data_i.value = noise if data is None else data

    def see_read(self, dut, ready: bool) -> None:
        """Take the request of this settled cycle."""
        data = None
        if ready and dut.rd_valid_o.value == 1:
            address = int(dut.rd_addr_o.value)
            half, offset = self.words[address >> HALF_BIT], address & OFFSET_MASK
            assert offset < len(half), f"read of word {offset} of {len(half)}"
            data = 0
            for j in range(FETCH_WORDS):
                there = offset + j < len(half)
                word = half[offset + j] if there else self.rng.getrandbits(self.word)
                data |= word << j * self.word
            self.reads += 1
        self.pending = [*self.pending[1:], data]

    def see_write(self, dut, ready: bool) -> None:
        """Take the write of this settled cycle."""
        if not (ready and dut.wr_valid_o.value == 1):
            return
        address, count = int(dut.wr_addr_o.value), int(dut.wr_count_o.value)
        half, offset = self.words[address >> HALF_BIT], address & OFFSET_MASK
        assert 1 <= count <= FETCH_WORDS and offset + count <= len(half)
        granules = int(dut.wr_mask_o.value)
        mask = 0
        for g in range(self.word // self.dm):
            if granules >> g & 1:
                mask |= ((1 << self.dm) - 1) << g * self.dm
        data = int(dut.wr_data_o.value)
        for j in range(count):
            half[offset + j] = half[offset + j] & ~mask | (data >> j * self.word) & mask
        self.writes += 1


def random_image(rng: random.Random, half_words: int, word: int) -> Bits:
    """A store of random bits, ``(2, half_words, word)``."""
    seeded = np.random.default_rng(rng.getrandbits(32))
    return seeded.integers(0, 2, (2, half_words, word)).astype(np.uint8)
