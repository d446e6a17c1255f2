"""The outside of the overlay: DDR on the AXI4 port, the host on the AXI4-Lite port."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiSlave

from hessbit.hw import isa

OFFSETS = {r.name: r.offset for r in isa.REGISTERS}


def pauses(rng: random.Random, share: float) -> Iterator[bool]:
    """Pause in this share of the cycles."""
    while True:
        yield rng.random() < share


class Ddr:
    """Memory behind an AXI4 slave model; addresses in ``bad`` answer with SLVERR."""

    def __init__(self, dut, rng: random.Random, share: float, size: int = 1 << 18) -> None:
        self.data = bytearray(size)
        self.bad: range = range(0)
        self.writes = 0
        logging.getLogger("cocotb").setLevel(logging.WARNING)
        logging.getLogger("cocotb.hb_top.m_axi").setLevel(logging.ERROR)  # errors on purpose
        self.slave = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.clk_i, target=self)
        w, r = self.slave.write_if, self.slave.read_if
        self.channels = (w.aw_channel, w.w_channel, w.b_channel, r.ar_channel, r.r_channel)
        for channel in self.channels:
            channel.set_pause_generator(pauses(rng, share))

    def stop(self, dead: bool) -> None:
        """Hold every channel still, or let them go on."""
        for channel in self.channels:
            channel.clear_pause_generator()
            channel.pause = dead

    async def read(self, address: int, length: int) -> bytes:
        """The slave model reads."""
        if address in self.bad:
            raise ValueError("bad address")
        return bytes(self.data[address : address + length])

    async def write(self, address: int, data: bytes) -> None:
        """The slave model writes."""
        if address in self.bad:
            raise ValueError("bad address")
        self.writes += 1
        self.data[address : address + len(data)] = data


class Host:
    """Registers by name."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.lite = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk_i)

    async def get(self, name: str) -> int:
        """Value of a register."""
        return await self.get_at(OFFSETS[name])

    async def get_at(self, offset: int) -> int:
        """The word at a byte offset."""
        return int.from_bytes((await self.lite.read(offset, 4)).data, "little")

    async def set(self, name: str, value: int) -> None:
        """Write a register."""
        await self.lite.write(OFFSETS[name], value.to_bytes(4, "little"))

    async def settled(self, polls: int = 2000) -> int:
        """STATUS when it is no longer busy."""
        for _ in range(polls):
            status = await self.get("STATUS")
            if not status & 1:
                return status
        raise AssertionError("the overlay stays busy")


async def reset(dut) -> None:
    """Start the clock and reset; AXI models come afterwards."""
    Clock(dut.clk_i, 10, "ns").start()
    for name in ("s_axi_awvalid", "s_axi_wvalid", "s_axi_arvalid", "s_axi_bready", "s_axi_rready"):
        if hasattr(dut, name):
            getattr(dut, name).value = 0
    for name in ("m_axi_awready", "m_axi_wready", "m_axi_arready", "m_axi_bvalid", "m_axi_rvalid"):
        if hasattr(dut, name):
            getattr(dut, name).value = 0
    dut.rst_ni.value = 0
    await ClockCycles(dut.clk_i, 4)
    dut.rst_ni.value = 1
    await RisingEdge(dut.clk_i)


def seeded() -> random.Random:
    """Random numbers of this run."""
    return random.Random(cocotb.RANDOM_SEED)
