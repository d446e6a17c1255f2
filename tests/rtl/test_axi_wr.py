"""Build and run tb_axi_wr."""

import pytest
from runner import run

SOURCES = ["hb_fifo.sv", "hb_axi_wr.sv"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_axi_wr(seed: int) -> None:
    run("hb_axi_wr", "tb_axi_wr", sources=SOURCES, seed=seed)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_axi_wr",
        "tb_axi_wr",
        sources=SOURCES,
        defines={"HB_FAULT_AXI_WR": "1"},
        expect_failure=True,
    )
