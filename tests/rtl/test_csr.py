"""Build and run tb_csr."""

import pytest
from runner import run

from hessbit.hw.config import PRESETS

SOURCES = ["hb_stats.sv", "hb_csr.sv"]


def parameters(name: str) -> dict[str, int]:
    """The configuration hash."""
    every = PRESETS[name].rtl_parameters()
    return {k: every[k] for k in ("CfgHashLo", "CfgHashHi")}


@pytest.mark.parametrize("name", ["tiny", "z7020"])
def test_csr(name: str) -> None:
    run("hb_csr", "tb_csr", sources=SOURCES, parameters=parameters(name))


@pytest.mark.parametrize("fault", ["HB_FAULT_CSR", "HB_FAULT_STATS"])
def test_seeded_fault_is_noticed(fault: str) -> None:
    run(
        "hb_csr",
        "tb_csr",
        sources=SOURCES,
        parameters=parameters("tiny"),
        defines={fault: "1"},
        expect_failure=True,
    )
