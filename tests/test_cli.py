"""The command line: help that teaches, quick start, exit codes, each command alone on files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hessbit.cli import _COMMANDS
from hessbit.cli._ui import format_table

TIMEOUT_S = 120


def test_help_names_every_command(cli) -> None:
    answer = cli("--help")
    assert answer.code == 0
    for name in _COMMANDS:
        assert name in answer.out


@pytest.mark.parametrize("name", _COMMANDS)
def test_help_teaches_with_an_example(cli, name: str) -> None:
    answer = cli(name, "--help")
    assert answer.code == 0
    assert f"  hessbit {name}" in answer.out
    assert "--json" in answer.out and "--debug" in answer.out and "--seed" in answer.out


def test_wrong_usage_is_2(cli) -> None:
    assert cli("quantise").code == 2
    assert cli("export").code == 2
    assert cli().code == 2


def test_start_imports_nothing_heavy() -> None:
    code = (
        "import sys, hessbit.cli as c; c.build_parser(); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'onnx', 'scipy', 'rich')))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], timeout=TIMEOUT_S, check=False).returncode == 0
    )


def test_debug_shows_the_traceback(cli) -> None:
    from hessbit.errors import HessbitError

    answer = cli("export", "nowhere.hbq")
    assert answer.code == 1
    assert answer.err.count("\n") == 1 and "nowhere.hbq" in answer.err
    with pytest.raises(HessbitError):
        cli("export", "nowhere.hbq", "--debug")


def test_table_aligns_numbers_right() -> None:
    text = format_table(["name", "n"], [["a", 5], ["bc", 1234]])
    assert text.splitlines() == ["name      n", "----  -----", "a         5", "bc    1,234"]


def test_every_command_alone_on_files(cli, small, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = cli("analyze", *small.options, *small.data, "--json", "--max-probes", 12)
    assert answer.code == 0, answer.err
    assert set(answer.json["layers"]) == {"conv1", "conv2", "fc"}
    assert all(e["stderr"] >= 0 for e in answer.json["layers"].values())

    answer = cli(
        "allocate", *small.options, "--sensitivity", "sensitivity.json", "--preset", "tiny",
        "--budget", "cycles=0.7x", "--budget", "bytes=1x", "--fix", "fc=W8", "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert answer.json["layers"]["fc"]["weight_bits"] == 8
    assert answer.json["cost"]["cycles"] <= answer.json["limits"]["cycles"]

    answer = cli("quantize", *small.options, *small.data, "--bits", "bits.json", "--json")
    assert answer.code == 0, answer.err
    answer = cli("export", "model.hbq", "--json")
    assert answer.code == 0, answer.err
    answer = cli("compile", "model.onnx", "--preset", "tiny", "--json")
    assert answer.code == 0, answer.err
    assert sum(row["cycles"] for row in answer.json["layers"]) > 0

    outputs = {}
    for level in ("reference", "instruction", "rtl"):
        answer = cli(
            "simulate", "model.hbit", "--level", level, "--model", "model.hbq", "--images",
            small.images, "--count", 3, "--out", f"{level}.npy", "--json",
        )  # fmt: skip
        assert answer.code == 0, answer.err
        outputs[level] = np.load(f"{level}.npy")
    assert outputs["reference"].shape == (3, 10)
    assert np.array_equal(outputs["reference"], outputs["instruction"])
    assert np.array_equal(outputs["reference"], outputs["rtl"])

    answer = cli(
        "run", "model.hbit", "--board", "sim", "--images", small.images, "--count", 2, "--out",
        "board.npy", "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert np.array_equal(np.load("board.npy"), outputs["reference"][:2])


def test_waveform_and_stalls(cli, small, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("quantize", *small.options, *small.data, "--bits", "W4A4", "--json").code == 0
    assert cli("export", "model.hbq", "--json").code == 0
    assert cli("compile", "model.onnx", "--preset", "tiny", "--json").code == 0
    common = [
        "simulate",
        "model.hbit",
        "--level",
        "rtl",
        "--images",
        small.images,
        "--count",
        1,
        "--json",
    ]
    plain = cli(*common, "--out", "plain.npy")
    stalled = cli(*common, "--out", "stalled.npy", "--stalls", 7)
    traced = cli(*common, "--out", "traced.npy", "--trace", "wave.fst")
    for answer in (plain, stalled, traced):
        assert answer.code == 0, answer.err
    assert Path("wave.fst").stat().st_size > 0
    assert np.array_equal(np.load("plain.npy"), np.load("stalled.npy"))
    assert np.array_equal(np.load("plain.npy"), np.load("traced.npy"))
    assert stalled.json["cycles_per_image"] > plain.json["cycles_per_image"]
