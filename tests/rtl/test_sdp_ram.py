"""Build and run tb_sdp_ram."""

import pytest
from runner import run

SOURCES = ["hb_sdp_ram.sv"]
ODD = {"Width": 24, "Granule": 4, "Depth": 40}  # a depth that is no power of two


@pytest.mark.parametrize("sizes", [ODD, {"Width": 64, "Granule": 16, "Depth": 256}])
def test_sdp_ram(sizes: dict[str, int]) -> None:
    run("hb_sdp_ram", "tb_sdp_ram", sources=SOURCES, parameters=sizes)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_sdp_ram",
        "tb_sdp_ram",
        sources=SOURCES,
        parameters=ODD,
        defines={"HB_FAULT_SDP_RAM": "1"},
        expect_failure=True,
    )
