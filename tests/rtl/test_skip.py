"""Build and run tb_skip."""

import pytest
from runner import run

SOURCES = ["hb_fifo.sv", "hb_walk.sv", "hb_skip.sv"]
TINY = {"Dm": 4, "Dn": 4, "W": 16}


@pytest.mark.parametrize("sizes", [TINY, {"Dm": 16, "Dn": 8, "W": 64}], ids=["tiny", "z7020"])
def test_skip(sizes: dict[str, int]) -> None:
    run("hb_skip", "tb_skip", sources=SOURCES, parameters=sizes)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_skip",
        "tb_skip",
        sources=SOURCES,
        parameters=TINY,
        defines={"HB_FAULT_SKIP": "1"},
        expect_failure=True,
    )
