"""Build and run tb_pack."""

import pytest
from runner import run

SOURCES = ["hb_pack.sv"]
TINY = {"Dm": 4, "W": 16, "R": 2}


@pytest.mark.parametrize("sizes", [TINY, {"Dm": 16, "W": 64, "R": 16}], ids=["tiny", "z7020"])
def test_pack(sizes: dict[str, int]) -> None:
    run("hb_pack", "tb_pack", sources=SOURCES, parameters=sizes)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_pack",
        "tb_pack",
        sources=SOURCES,
        parameters=TINY,
        defines={"HB_FAULT_PACK": "1"},
        expect_failure=True,
    )
