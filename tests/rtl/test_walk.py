"""Build and run tb_walk."""

import pytest
from runner import run

SOURCES = ["hb_walk.sv"]
TINY = {"Dm": 4, "Dn": 4, "R": 2, "N": 1, "YBits": 15, "XBits": 17}
Z7020 = {"Dm": 16, "Dn": 8, "R": 16, "N": 2, "YBits": 18, "XBits": 12}  # one position a pixel


@pytest.mark.parametrize("sizes", [TINY, Z7020], ids=["tiny", "z7020"])
def test_walk(sizes: dict[str, int]) -> None:
    run("hb_walk", "tb_walk", sources=SOURCES, parameters=sizes)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_walk",
        "tb_walk",
        sources=SOURCES,
        parameters=TINY,
        defines={"HB_FAULT_WALK": "1"},
        expect_failure=True,
    )
