"""Synthesise hb_top with Yosys for a 7-series part and count its cells, module by module.

    python -m benchmarks.synth z7020        # writes benchmarks/results/synth-z7020.json

The modules that the array and the requantiser repeat are synthesised once and counted as often as
they occur, so nothing is shared across their borders; the column-sum rows count as full units.
Figures are Yosys' before place and route. Needs pyosys (Yosys with its slang front end).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hessbit.errors import SimulationError
from hessbit.hw.config import PRESETS, preset

RTL = Path(__file__).resolve().parents[1] / "rtl"
REPEATED = ("hb_unit", "hb_requant_lane")
STYLE = {"PopcountStyle": 1}  # the bit heap: $countones is for simulation
XC7Z020 = {"LUT": 53200, "FF": 106400, "RAMB36": 140, "DSP": 220}
_LUTRAM = {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1S": 4,
           "SRL16E": 1, "SRLC32E": 1}  # fmt: skip
_NO_PARAMETERS = " ".join(f"-unset {p}" for p in ("K", "PopcountStyle", "W", "CountW", "SumW"))
_SCRIPT = """
import sys
from pyosys import libyosys as ys
design = ys.Design()
for command in sys.argv[1:]:
    ys.run_pass(command, design)
"""


def sources() -> list[Path]:
    """The package first, then every module."""
    package = RTL / "hb_pkg.sv"
    return [package, *sorted(p for p in RTL.glob("hb_*.sv") if p != package)]


def yosys(commands: list[str], timeout_s: float) -> None:
    """Run Yosys commands in a process of their own.

    Raises
    ------
    SimulationError
        When one of them fails, with its last lines.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *commands],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    if done.returncode:
        tail = " | ".join((done.stdout + done.stderr).splitlines()[-5:])
        raise SimulationError(f"Yosys failed: {tail}")


def read(top: str, parameters: dict[str, int], black_boxes: tuple[str, ...] = ()) -> str:
    """The command that reads ``top`` with its hierarchy."""
    words = ["read_slang --best-effort-hierarchy --ignore-assertions", f"--top {top}"]
    for key, value in parameters.items():
        words.append(f"-G {key}=" + (f"{value}" if value < 2**31 else f"32'd{value}"))
    words += [f"--blackboxed-module {m}" for m in black_boxes]
    return " ".join([*words, *map(str, sources())])


def cells(
    top: str, parameters: dict[str, int], black_boxes: tuple[str, ...] = (), timeout_s: float = 7200
) -> dict[str, Counter[str]]:
    """Cells of every module below ``top`` by instance path, black boxes by their module name."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "stat.json"
        yosys(
            [
                read(top, parameters, black_boxes),
                # the mapper takes no black box with parameters
                *(f"setparam {_NO_PARAMETERS} t:{m}" for m in black_boxes),
                f"synth_xilinx -family xc7 -noiopad -noclkbuf -top {top}",
                f"tee -q -o {report} stat -json",
            ],
            timeout_s,
        )
        text = report.read_text()
    found: dict[str, Counter[str]] = {}
    for name, module in json.loads(text[text.index("{") :])["modules"].items():
        path = name.lstrip("\\").split("$", 1)[-1]
        found[path] = Counter(
            {k.lstrip("\\").split("$")[0]: n for k, n in module["num_cells_by_type"].items()}
        )
    return found


def resources(count: Counter[str]) -> dict[str, int]:
    """Device resources of some cells."""
    lutram = sum(n * count[k] for k, n in _LUTRAM.items())
    return {
        "LUT": sum(count[f"LUT{i}"] for i in range(1, 7)) + count["INV"] + lutram,
        "of which LUTRAM": lutram,
        "FF": sum(count[k] for k in ("FDRE", "FDSE", "FDCE", "FDPE")),
        "CARRY4": count["CARRY4"],
        "RAMB36": count["RAMB36E1"],
        "RAMB18": count["RAMB18E1"],
        "DSP": count["DSP48E1"],
    }


def synthesise(name: str) -> dict[str, Any]:
    """Resources of preset ``name`` in all and by module."""
    config = preset(name)
    start = time.monotonic()
    repeated = {
        "hb_unit": cells("hb_unit", {"K": config.k, **STYLE}),
        "hb_requant_lane": cells("hb_requant_lane", {}),
    }
    one = {k: sum(v.values(), Counter[str]()) for k, v in repeated.items()}
    found = cells("hb_top", config.rtl_parameters() | STYLE, REPEATED)
    groups: dict[str, Counter[str]] = {}
    for path, count in found.items():
        whole = Counter(count)
        for module, part in one.items():
            for cell, n in part.items():
                whole[cell] += n * count[module]
        # hb_top.u_datapath.u_gather.u_addr -> u_datapath.u_gather
        key = ".".join(path.split(".")[1:3]) or "hb_top"
        groups[key] = groups.get(key, Counter()) + whole
    total = sum(groups.values(), Counter[str]())
    used = resources(total)
    blocks = used["RAMB36"] + used["RAMB18"] / 2
    return {
        "preset": name,
        "family": "xc7",
        "total": used,
        "share of xc7z020": {
            k: round((blocks if k == "RAMB36" else used[k]) / have, 3)
            for k, have in XC7Z020.items()
        },
        "by module": {k: resources(v) for k, v in sorted(groups.items())},
        "one of": {k: resources(v) for k, v in one.items()},
        "seconds": round(time.monotonic() - start),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", choices=PRESETS)
    name = parser.parse_args().preset
    result = synthesise(name)
    from benchmarks._results import write

    path = write(f"synth-{name}", result)
    print(json.dumps({k: result[k] for k in ("total", "share of xc7z020", "seconds")}, indent=1))
    print(path)


if __name__ == "__main__":
    main()
