"""Lint the whole RTL with Verilator -Wall, once for every preset; exit 1 on any warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hessbit.hw.config import PRESETS
from hessbit.sim.toolchain import verilator

RTL = Path(__file__).resolve().parents[1] / "rtl"


def main() -> int:
    binary, _ = verilator()
    sources = [RTL / "hb_pkg.sv", *sorted(p for p in RTL.glob("*.sv") if p.name != "hb_pkg.sv")]
    failed = 0
    for name, config in PRESETS.items():
        sizes = [f"-G{k}={v}" for k, v in config.rtl_parameters().items()]
        command = [str(binary), "--lint-only", "-Wall", "--top-module", "hb_top", *sizes]
        done = subprocess.run(
            [*command, *map(str, sources)], capture_output=True, text=True, check=False
        )
        print(f"{name}: {'clean' if done.returncode == 0 else 'FAILED'}")
        if done.returncode:
            print(done.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
