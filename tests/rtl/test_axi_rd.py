"""Build and run tb_axi_rd."""

import pytest
from runner import run

SOURCES = ["hb_fifo.sv", "hb_axi_rd.sv"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_axi_rd(seed: int) -> None:
    run("hb_axi_rd", "tb_axi_rd", sources=SOURCES, seed=seed)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_axi_rd",
        "tb_axi_rd",
        sources=SOURCES,
        defines={"HB_FAULT_AXI_RD": "1"},
        expect_failure=True,
    )
