"""The Verilated overlay behind a C++ harness: build, cache, and drive through ctypes.

The harness (``harness.cpp``) holds the clock, the AXI4-Lite accesses and an AXI4 memory with a DDR
model, so that a network simulates at the speed of compiled code. Models are built once per set of
RTL sources, parameters and tool version and kept in a cache folder of the user
(``$XDG_CACHE_HOME/hessbit`` or ``~/.cache/hessbit``).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import hessbit.rtl
from hessbit.errors import SimulationError
from hessbit.hw.config import AcceleratorConfig
from hessbit.sim import toolchain

_LIBRARY = "libhessbit_sim.so"
_HARNESS = Path(__file__).with_name("harness.cpp")
_VERILATOR_FLAGS = (
    "--cc", "--exe", "--build", "--top-module", "hb_top", "-O3", "--x-assign", "fast",
    "--x-initial", "fast", "--no-assert", "-Wno-fatal", "--prefix", "Vhb_top", "-Wno-WIDTH",
)  # fmt: skip
_C_FLAGS = "-march=native -fPIC -fno-gnu-unique"
_OPTIMISE = {False: "-O2", True: "-O1"}  # a model with waveforms is slow anyway: build it fast
_RESPONSES = {2: "SLVERR", 3: "DECERR"}


@dataclass(frozen=True, kw_only=True)
class DdrModel:
    """Timing and faults of the simulated DDR.

    Attributes
    ----------
    bandwidth_gbs : float
        Sustained bandwidth of reads and writes together in GB/s; the 64-bit port moves at most
        8 bytes a cycle whatever is set here.
    latency_cycles : int
        Cycles from an address to its first data.
    stall_percent : int
        Chance in percent that a channel pauses in a cycle.
    seed : int
        Seed of the pauses.
    """

    bandwidth_gbs: float = 1.6
    latency_cycles: int = 40
    stall_percent: int = 0
    seed: int = 1

    def bytes_per_cycle(self, clk_mhz: float) -> Fraction:
        """Bytes a cycle at a clock of ``clk_mhz``, as a fraction with a small denominator."""
        return Fraction(self.bandwidth_gbs * 1000 / clk_mhz).limit_denominator(1000)


def cache_dir() -> Path:
    """Folder of the user's cache where built models are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "hessbit"


def _cpu() -> str:
    """What ``-march=native`` depends on."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()


def _sources() -> list[Path]:
    folder = Path(next(iter(hessbit.rtl.__path__)))
    package = folder / "hb_pkg.sv"
    return [package, *(p for p in sorted(folder.glob("*.sv")) if p != package)]


def build_model(config: AcceleratorConfig, *, trace: bool = False) -> Path:
    """Build the simulator of ``config``, or find it in the cache; returns the shared library.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the overlay.
    trace : bool
        Build with FST waveforms (slower).

    Raises
    ------
    SimulationError
        When there is no Verilator or the build fails, naming the log.
    """
    binary, version = toolchain.verilator()
    sources = _sources()
    flags = [f"-G{k}=32'h{v:x}" for k, v in config.rtl_parameters().items()]
    flags += ["-MAKEFLAGS", f"OPT_FAST={_OPTIMISE[trace]} OPT_SLOW=-O0"]
    if trace:
        flags += ["--trace-fst", "-CFLAGS", "-DHB_TRACE"]
    digest = hashlib.sha256(
        repr((version, _VERILATOR_FLAGS, _C_FLAGS, flags, _cpu(), platform.machine())).encode()
    )
    for path in (*sources, _HARNESS):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    folder = cache_dir() / f"{config.name}-{digest.hexdigest()[:16]}"
    if (folder / _LIBRARY).exists():
        return folder / _LIBRARY
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be building the same
        if not (folder / _LIBRARY).exists():
            _build(config.name, [str(binary), *_VERILATOR_FLAGS, *flags], sources, folder)
    return folder / _LIBRARY


def _build(name: str, verilate: list[str], sources: list[Path], folder: Path) -> None:
    """Build beside ``folder`` and rename, so that ``folder`` is whole or absent."""
    if sys.stderr.isatty():
        print(f"building the RTL simulator of {name} (once, minutes at most) ...", file=sys.stderr)
    work = Path(tempfile.mkdtemp(prefix=f"{name}-building-", dir=folder.parent))
    log = folder.parent / f"{folder.name}.log"
    command = [
        *verilate, "-CFLAGS", _C_FLAGS,
        "-LDFLAGS", "-shared -Wl,-Bsymbolic", "-j", str(min(os.cpu_count() or 1, 8)),
        "-Mdir", str(work), "-o", _LIBRARY, *(str(p) for p in sources), str(_HARNESS),
    ]  # fmt: skip
    environment = dict(os.environ)
    if shutil.which("ccache"):
        environment.setdefault("OBJCACHE", "ccache")
    try:
        with log.open("w") as out:
            code = subprocess.run(
                command, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False
            ).returncode
        if code != 0 or not (work / _LIBRARY).exists():
            raise SimulationError(f"building the RTL simulator of {name} failed; see {log}")
        _keep_only_library(work)
        log.replace(work / "build.log")
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _keep_only_library(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != _LIBRARY:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _load(path: Path) -> ctypes.CDLL:
    lib = ctypes.CDLL(str(path))
    u64, u32, ptr = ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p
    signatures: dict[str, tuple[object, list[object]]] = {
        "hb_new": (ptr, [u64, u64, ctypes.c_char_p]),
        "hb_free": (None, [ptr]),
        "hb_memory": (ptr, [ptr]),
        "hb_configure": (None, [ptr, u64, u64, u64, ctypes.c_uint, u64]),
        "hb_fault": (None, [ptr, u64, u64, ctypes.c_int]),
        "hb_reset": (None, [ptr]),
        "hb_write": (ctypes.c_int, [ptr, u32, u32]),
        "hb_read": (ctypes.c_int, [ptr, u32, ctypes.POINTER(u32)]),
        "hb_run": (u64, [ptr, u64]),
        "hb_irq": (ctypes.c_int, [ptr]),
        "hb_cycles": (u64, [ptr]),
        "hb_read_beats": (u64, [ptr]),
        "hb_write_beats": (u64, [ptr]),
        "hb_violations": (u64, [ptr]),
        "hb_violation": (ctypes.c_char_p, [ptr]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class RtlSimulator:
    """One simulated overlay with its DDR.

    Parameters
    ----------
    config : AcceleratorConfig
        Sizes of the overlay.
    memory_bytes : int
        Size of the simulated DDR.
    memory_base : int
        Its first address.
    ddr : DdrModel
        Timing of the DDR.
    trace : Path, optional
        Write an FST waveform there.

    Raises
    ------
    SimulationError
        When the model cannot be built.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        *,
        memory_bytes: int = 64 << 20,
        memory_base: int = 0x1000_0000,
        ddr: DdrModel | None = None,
        trace: Path | None = None,
    ) -> None:
        self.config, self.memory_base = config, memory_base
        self._lib = _load(build_model(config, trace=trace is not None))
        path = str(trace).encode() if trace is not None else None
        self._sim: int = self._lib.hb_new(memory_base, memory_bytes, path)
        self._close = weakref.finalize(self, self._lib.hb_free, self._sim)
        raw = (ctypes.c_uint8 * memory_bytes).from_address(self._lib.hb_memory(self._sim))
        self.memory: NDArray[np.uint8] = np.ctypeslib.as_array(raw)
        self.set_ddr(ddr or DdrModel())
        self.reset()

    def close(self) -> None:
        """Free the model and its memory, finish the waveform; views of the memory die with it."""
        self._close()

    def set_ddr(self, ddr: DdrModel) -> None:
        """Change the timing of the DDR."""
        rate = ddr.bytes_per_cycle(self.config.clk_mhz)
        self._lib.hb_configure(
            self._sim,
            ddr.latency_cycles,
            rate.numerator,
            rate.denominator,
            ddr.stall_percent,
            ddr.seed,
        )

    def inject(self, *, error_at: tuple[int, int] | None = None, dead: bool = False) -> None:
        """Let addresses ``error_at`` (first, last + 1) answer SLVERR, or the bus fall silent."""
        lo, hi = error_at or (0, 0)
        self._lib.hb_fault(self._sim, lo, hi, int(dead))

    def reset(self) -> None:
        """Hard reset of overlay and memory channels; DDR contents stay."""
        self._lib.hb_reset(self._sim)

    def write(self, offset: int, value: int) -> None:
        """Write a control register; SimulationError on an error response or none."""
        self._check(self._lib.hb_write(self._sim, offset, value & 0xFFFFFFFF), "write", offset)

    def read(self, offset: int) -> int:
        """Read a control register; SimulationError as for :meth:`write`."""
        value = ctypes.c_uint32()
        self._check(self._lib.hb_read(self._sim, offset, ctypes.byref(value)), "read", offset)
        return value.value

    @staticmethod
    def _check(response: int, what: str, offset: int) -> None:
        if response:
            answer = (
                "no answer" if response < 0 else _RESPONSES.get(response, f"response {response}")
            )
            raise SimulationError(f"register {what} at 0x{offset:03x}: {answer}")

    def run(self, cycles: int) -> int:
        """Run until the interrupt line is high, at most ``cycles``; returns the cycles run.

        Raises
        ------
        SimulationError
            When the overlay broke a rule of AXI4.
        """
        done = int(self._lib.hb_run(self._sim, cycles))
        if self._lib.hb_violations(self._sim):
            text = self._lib.hb_violation(self._sim).decode()
            raise SimulationError(f"the overlay broke the AXI4 protocol: {text}")
        return done

    @property
    def irq(self) -> bool:
        """The interrupt line."""
        return bool(self._lib.hb_irq(self._sim))

    @property
    def cycles(self) -> int:
        """Clock cycles since the model was made."""
        return int(self._lib.hb_cycles(self._sim))

    @property
    def beats(self) -> tuple[int, int]:
        """AXI beats read and written."""
        return int(self._lib.hb_read_beats(self._sim)), int(self._lib.hb_write_beats(self._sim))


@contextlib.contextmanager
def simulator(config: AcceleratorConfig, **options: object) -> Iterator[RtlSimulator]:
    """A :class:`RtlSimulator` that is closed at the end of the block."""
    sim = RtlSimulator(config, **options)  # type: ignore[arg-type]
    try:
        yield sim
    finally:
        sim.close()
