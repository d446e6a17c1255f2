"""The whole design passes ``verilator --lint-only -Wall`` for every preset, without output."""

import subprocess

import pytest
from runner import RTL

from hessbit.hw.config import PRESETS
from hessbit.sim.toolchain import verilator


@pytest.mark.parametrize("name", PRESETS)
def test_hb_top_is_lint_clean(name: str) -> None:
    binary, _ = verilator()
    sources = [RTL / "hb_pkg.sv", *sorted(RTL.glob("hb_*.sv"))]
    command = [str(binary), "--lint-only", "--quiet", "-Wall", "--top-module", "hb_top"]
    command += [f"-G{key}={value}" for key, value in PRESETS[name].rtl_parameters().items()]
    command += [str(s) for s in dict.fromkeys(sources)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not result.stderr.strip(), result.stderr
