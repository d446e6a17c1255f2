"""Formal proof with Yosys that both styles of hb_popcount count ones, for every input word."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyosys")

RTL = Path(__file__).resolve().parents[2] / "rtl"
MODULES = """
module gold(input logic [{width}-1:0] data_i, output logic [$clog2({width}+1)-1:0] count_o);
  assign count_o = ($bits(count_o))'($countones(data_i));
endmodule
module gate(input logic [{width}-1:0] data_i, output logic [$clog2({width}+1)-1:0] count_o);
  hb_popcount #(.Width({width}), .Style({style})) u_gate (.data_i, .count_o);
endmodule
"""
SCRIPT = """
import sys
from pyosys import libyosys as ys
design = ys.Design()
for command in sys.argv[1:]:
    ys.run_pass(command, design)
"""


def prove(folder: Path, width: int, style: int, options: str = "") -> bool:
    """Whether the solver finds no word for which hb_popcount differs from $countones."""
    source = folder / "miter.sv"
    source.write_text(MODULES.format(width=width, style=style))
    commands = [
        f"read_slang {options} {source} {RTL / 'hb_popcount.sv'} --top gold --top gate",
        "miter -equiv -flatten -make_outputs gold gate miter",
        "hierarchy -top miter",
        "opt",
        "sat -verify -prove trigger 0 miter",
    ]
    # A process of its own: a disproved miter ends the one that asked.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *commands],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    text = done.stdout + done.stderr
    assert "Solving problem" in text or "SAT proof finished" in text, text[-2000:]
    return done.returncode == 0 and "no model found: SUCCESS" in text


@pytest.mark.parametrize(("width", "style"), [(16, 0), (16, 1), (32, 1)])
def test_counts_ones_for_every_word(tmp_path: Path, width: int, style: int) -> None:
    assert prove(tmp_path, width, style)


def test_seeded_fault_is_disproved(tmp_path: Path) -> None:
    assert not prove(tmp_path, 16, 1, "-D HB_FAULT_POPCOUNT=1")
