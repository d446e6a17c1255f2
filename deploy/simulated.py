"""A simulated board: the Verilated overlay behind PYNQ's interface.

:func:`simulated_board` needs no pynq: the driver talks to it as to a real board.
:func:`pynq_device` wraps the same simulation as a ``pynq`` Device, on which ``pynq.MMIO``,
``pynq.allocate`` and ``pynq.Overlay`` work unchanged (used by the tests, and for trying notebooks
without a board).
"""

from __future__ import annotations

import struct
import types
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hessbit.deploy.board import REGISTER_BYTES, Board
from hessbit.errors import DeployError
from hessbit.hw.config import AcceleratorConfig
from hessbit.hw.isa import REGISTERS

if TYPE_CHECKING:
    from hessbit.sim.rtl import DdrModel, RtlSimulator

REGISTER_BASE = 0x4000_0000
"""Where the simulated bus shows the registers to pynq."""
_STATUS = next(r.offset for r in REGISTERS if r.name == "STATUS")
_POLL_CYCLES = 50_000
_ALIGN = 4096


class SimulatedBuffer(NDArray[np.uint8] if TYPE_CHECKING else np.ndarray):  # type: ignore[misc]
    """A numpy array in the simulated DDR with the interface of ``PynqBuffer``."""

    device_address: int

    def __array_finalize__(self, obj: Any) -> None:
        address = getattr(obj, "device_address", None)
        if address is not None:
            here = self.__array_interface__["data"][0]
            self.device_address = address + here - obj.__array_interface__["data"][0]

    @property
    def physical_address(self) -> int:
        """Address on the simulated bus."""
        return self.device_address

    def sync_to_device(self) -> None:
        """Nothing to do: the simulated DDR is the array itself."""

    def sync_from_device(self) -> None:
        """Nothing to do, as above."""

    flush = sync_to_device
    invalidate = sync_from_device


class SimulatedMemory:
    """Hands out parts of the simulated DDR and never takes them back."""

    def __init__(self, sim: RtlSimulator) -> None:
        self.sim, self._top = sim, 0

    def reserve(self, size: int) -> int:
        """Offset of ``size`` fresh bytes; DeployError when the memory is used up."""
        offset = -(-self._top // _ALIGN) * _ALIGN
        if offset + size > self.sim.memory.size:
            raise DeployError(
                f"the simulated DDR of {self.sim.memory.size} bytes is full, {size} more asked; "
                "give simulated_board a larger memory_bytes"
            )
        self._top = offset + size
        return offset

    def allocate(self, shape: Any, dtype: DTypeLike = "u4") -> SimulatedBuffer:
        """A zeroed array in the simulated DDR."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        offset = self.reserve(size)
        raw = self.sim.memory[offset : offset + size]
        raw[:] = 0
        buffer = raw.view(dtype).reshape(shape).view(SimulatedBuffer)
        buffer.device_address = self.sim.memory_base + offset
        return buffer


class SimulatedRegisters:
    """Registers of the simulated overlay; while STATUS is polled, simulated time passes."""

    def __init__(self, sim: RtlSimulator) -> None:
        self.sim = sim

    def read(self, offset: int) -> int:
        """Read a register; a read of STATUS lets the overlay run until it interrupts."""
        if offset == _STATUS:
            self.sim.run(_POLL_CYCLES)
        return self.sim.read(offset)

    def write(self, offset: int, value: int) -> None:
        """Write a register."""
        self.sim.write(offset, value)


def simulated_board(
    config: AcceleratorConfig,
    *,
    memory_bytes: int = 64 << 20,
    ddr: DdrModel | None = None,
    trace: Path | None = None,
    timeout_s: float = 600.0,
) -> Board:
    """A board whose overlay is the RTL of ``config`` in simulation.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the overlay; the model is built on first use (see :mod:`hessbit.sim.rtl`).
    memory_bytes : int
        Size of the simulated DDR.
    ddr : DdrModel, optional
        Its timing.
    trace : Path, optional
        Write an FST waveform there.
    timeout_s : float
        Wall-clock limit of one inference.

    Raises
    ------
    SimulationError
        When the model cannot be built.
    """
    from hessbit.sim.rtl import RtlSimulator

    sim = RtlSimulator(config, memory_bytes=memory_bytes, ddr=ddr, trace=trace)
    return board_of(sim, timeout_s=timeout_s)


def board_of(sim: RtlSimulator, *, timeout_s: float = 600.0) -> Board:
    """The board around a simulator that the caller made (to inject faults, change the DDR)."""
    return Board(
        name=f"simulated {sim.config.name}",
        registers=SimulatedRegisters(sim),
        allocate=SimulatedMemory(sim).allocate,
        timeout_s=timeout_s,
    )


@lru_cache(maxsize=1)
def _device_class() -> Any:
    try:
        from pynq.buffer import PynqBuffer
        from pynq.pl_server.device import Device
    except ImportError as error:
        raise DeployError(f"pynq is not installed ({error}); use simulated_board") from None

    class SimulatedDevice(Device):  # type: ignore[misc]
        """A pynq Device whose board is the Verilated overlay."""

        _probe_priority_ = 10_000  # never the default one: it is made by hand

        @classmethod
        def _probe_(cls) -> list[Any]:
            return []

        def __init__(self, sim: RtlSimulator) -> None:
            super().__init__("hessbit-sim")
            self.name = f"simulated {sim.config.name}"
            self.capabilities = {"REGISTER_RW": True}
            self.sim, self._memory = sim, SimulatedMemory(sim)
            self._registers = SimulatedRegisters(sim)

        def read_registers(self, address: int, length: int) -> bytes:
            at = range(address - REGISTER_BASE, address - REGISTER_BASE + length, 4)
            return b"".join(struct.pack("<I", self._registers.read(i)) for i in at)

        def write_registers(self, address: int, data: bytes) -> None:
            for i, (word,) in enumerate(struct.iter_unpack("<I", bytes(data))):
                self._registers.write(address - REGISTER_BASE + 4 * i, word)

        def allocate(self, shape: Any, dtype: DTypeLike = "u4", **_: Any) -> Any:
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            offset = self._memory.reserve(size)
            return PynqBuffer(
                shape,
                dtype,
                buffer=self.sim.memory.data,
                offset=offset,
                device=self,
                device_address=self.sim.memory_base + offset,
                coherent=False,
            )

        def flush(self, *_: Any) -> None:
            """Nothing to do: the simulated DDR is the array itself."""

        invalidate = flush

        def get_bitfile_metadata(self, *_: Any, **__: Any) -> Any:
            entry = {
                "phys_addr": REGISTER_BASE,
                "addr_range": REGISTER_BYTES,
                "type": "hessbit:hessbit:hb_top:1.0",
                "state": None,
                "interrupts": {},
                "gpio": {},
                "fullpath": "hb_top_0",
                "mem_id": "s_axi",
                "memtype": "REGISTER",
                "parameters": {},
                "registers": {},
                "driver": None,
                "bdtype": None,
            }
            empty = ("mem_dict", "gpio_dict", "interrupt_pins", "interrupt_controllers")
            tables = {name: {} for name in (*empty, "hierarchy_dict", "clock_dict")}  # type: ignore[var-annotated]
            return types.SimpleNamespace(ip_dict={"hb_top_0": entry}, systemgraph=None, **tables)

        def download(self, bitstream: Any, parser: Any = None) -> None:
            self.sim.reset()
            self.post_download(bitstream, parser)

    return SimulatedDevice


def pynq_device(sim: RtlSimulator) -> Any:
    """A ``pynq`` Device around ``sim``; DeployError when pynq is not installed."""
    return _device_class()(sim)
