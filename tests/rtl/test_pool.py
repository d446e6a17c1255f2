"""Build and run tb_pool."""

import pytest
from runner import run

SOURCES = ["hb_fifo.sv", "hb_walk.sv", "hb_pool.sv"]
TINY = {"Dm": 4, "Dn": 4, "K": 32, "R": 2}
SIZES = [TINY, {"Dm": 8, "Dn": 4, "K": 64, "R": 4}, {"Dm": 16, "Dn": 8, "K": 128, "R": 16}]


@pytest.mark.parametrize("sizes", SIZES, ids=["tiny", "ci", "z7020"])
def test_pool(sizes: dict[str, int]) -> None:
    run("hb_pool", "tb_pool", sources=SOURCES, parameters=sizes)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_pool",
        "tb_pool",
        sources=SOURCES,
        parameters=TINY,
        defines={"HB_FAULT_POOL": "1"},
        expect_failure=True,
    )
