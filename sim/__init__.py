"""Simulation of the overlay at three levels, all with the same integers.

==================================== ==========================================================
:mod:`hessbit.sim.reference`         the compiler's graph on integer arrays
:mod:`hessbit.sim.instruction`       the program's instructions on models of the memories
:mod:`hessbit.sim.rtl`               the Verilated RTL behind a C++ harness with a DDR model
==================================== ==========================================================

:mod:`hessbit.sim.columns` and :mod:`hessbit.sim.units` hold the layouts and engines that the
instruction simulator shares with the testbenches of the RTL.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hessbit.sim.instruction import InstructionSimulator
    from hessbit.sim.rtl import DdrModel, RtlSimulator, build_model

__all__ = ["DdrModel", "InstructionSimulator", "RtlSimulator", "build_model"]

_HOME = {
    "InstructionSimulator": "hessbit.sim.instruction",
    "DdrModel": "hessbit.sim.rtl",
    "RtlSimulator": "hessbit.sim.rtl",
    "build_model": "hessbit.sim.rtl",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``hessbit.sim.reference`` does not need the others."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
