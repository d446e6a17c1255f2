"""What the driver needs of a board, and the board that PYNQ provides.

A board is two things with PYNQ's interface: ``registers`` with ``read(offset)`` and
``write(offset, value)`` as :class:`pynq.MMIO` has them, and ``allocate(shape, dtype)`` that returns
physically contiguous arrays as :func:`pynq.allocate` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hessbit.errors import DeployError

REGISTER_BYTES = 4096
"""Size of the register space that an overlay maps."""


class Registers(Protocol):
    """The part of ``pynq.MMIO`` that the driver uses; offsets in bytes, 32-bit values."""

    def read(self, offset: int) -> int:
        """Value of the register at ``offset``."""

    def write(self, offset: int, value: int) -> None:
        """Set the register at ``offset``."""


class Buffer(Protocol):
    """The part of ``pynq.buffer.PynqBuffer`` that the driver uses, beside being a numpy array."""

    device_address: int

    def sync_to_device(self) -> None:
        """Make what the host wrote visible to the overlay."""

    def sync_from_device(self) -> None:
        """Make what the overlay wrote visible to the host."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board with the overlay loaded.

    Attributes
    ----------
    name : str
        For messages.
    registers : Registers
        The overlay's control registers.
    allocate : callable
        ``allocate(shape, dtype)`` returns a :class:`Buffer` that is a numpy array.
    timeout_s : float
        How long one inference may take before the driver gives up.
    """

    name: str
    registers: Registers
    allocate: Callable[..., Any]
    timeout_s: float = 10.0


def overlay_board(overlay: Any, ip: str | None = None) -> Board:
    """The board behind a loaded ``pynq.Overlay``.

    Parameters
    ----------
    overlay : pynq.Overlay
        With the accelerator in it.
    ip : str, optional
        Name of the accelerator in the block design; by default the one whose type or name contains
        ``hb_top`` or ``hessbit``.

    Raises
    ------
    DeployError
        When the overlay holds no such IP.
    """
    import pynq

    known: dict[str, Any] = overlay.ip_dict
    if ip is None:
        for name, entry in known.items():
            text = f"{name} {entry.get('type', '')}".lower()
            if "hb_top" in text or "hessbit" in text:
                ip = name
                break
    if ip is None or ip not in known:
        wanted = "hessbit accelerator" if ip is None else f"IP {ip!r}"
        raise DeployError(f"the overlay has no {wanted}; it holds {', '.join(known) or 'nothing'}")
    device = overlay.device
    registers = pynq.MMIO(known[ip]["phys_addr"], REGISTER_BYTES, device=device)

    def allocate(shape: Any, dtype: Any) -> Any:
        return pynq.allocate(shape, dtype, target=device)

    return Board(name=f"{device.name}:{ip}", registers=registers, allocate=allocate)


def open_board(bitfile: str | Path, ip: str | None = None) -> Board:
    """Load ``bitfile`` on the PYNQ board that this process runs on.

    Raises
    ------
    DeployError
        When pynq is not installed, no board is there, or the bitstream does not load.
    """
    if not Path(bitfile).is_file():
        raise DeployError(f"no bitstream at {bitfile}")
    try:
        import pynq
    except ImportError as error:
        raise DeployError(
            f"pynq is not installed ({error}); on the board run: pip install hessbit[board]"
        ) from None
    try:
        overlay = pynq.Overlay(str(bitfile))
    except (RuntimeError, OSError, ValueError, AttributeError) as error:
        raise DeployError(f"no board, or {bitfile} does not load on it: {error}") from None
    return overlay_board(overlay, ip)
