"""Yosys reads and checks the whole design of every preset: no latch, and no module with a
loop or two drivers.

The synthesis itself takes minutes: ``python -m benchmarks.synth``.
"""

import pytest

from hessbit.hw.config import PRESETS

pytest.importorskip("pyosys")
from benchmarks import synth


@pytest.mark.parametrize("name", PRESETS)
def test_yosys_reads_hb_top(name: str) -> None:
    # One unit stands for all: the array is the same cell many times.
    parameters = PRESETS[name].rtl_parameters() | synth.STYLE
    commands = [
        synth.read("hb_top", parameters, synth.REPEATED),
        "hierarchy -check -top hb_top",
        "proc",
        "select -assert-none t:$dlatch t:$_DLATCH_P_",
        "check -assert",
    ]
    synth.yosys(commands, timeout_s=300)
