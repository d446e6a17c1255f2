"""Results of the benchmarks: small JSON files that name the command which remakes them."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def write(name: str, result: dict[str, Any]) -> Path:
    """Write ``benchmarks/results/NAME.json``: the command, the machine, the result."""
    import numpy
    import torch

    RESULTS.mkdir(exist_ok=True)
    module = Path(sys.argv[0]).stem
    whole = {
        "command": " ".join(["python -m", f"benchmarks.{module}", *_without_folder(sys.argv[1:])]),
        "machine": {
            "cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version(),
            "torch": torch.__version__, "numpy": numpy.__version__,
        },
        **result,
    }  # fmt: skip
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return path


def _without_folder(arguments: list[str]) -> list[str]:
    """The arguments with the reader's own folder of images in place of ours."""
    out = list(arguments)
    for i, word in enumerate(out[:-1]):
        if word == "--data":
            out[i + 1] = "FOLDER"
    return out


def _processor() -> str:
    for line in (
        Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    ):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
