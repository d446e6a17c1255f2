"""Build and run tb_requant; the faults of the parts of REQUANT are noticed here too."""

import pytest
from runner import run

SOURCES = [
    "hb_fifo.sv", "hb_walk.sv", "hb_skip.sv", "hb_requant_lane.sv", "hb_pack.sv", "hb_requant.sv",
]  # fmt: skip
TINY = {"Dm": 4, "Dn": 4, "K": 32, "R": 2}
SIZES = [TINY, {"Dm": 8, "Dn": 4, "K": 64, "R": 4}, {"Dm": 16, "Dn": 8, "K": 128, "R": 16}]


@pytest.mark.parametrize("sizes", SIZES, ids=["tiny", "ci", "z7020"])
def test_requant(sizes: dict[str, int]) -> None:
    run("hb_requant", "tb_requant", sources=SOURCES, parameters=sizes)


@pytest.mark.parametrize("part", ["REQUANT", "WALK", "SKIP", "PACK"])
def test_seeded_fault_is_noticed(part: str) -> None:
    run(
        "hb_requant",
        "tb_requant",
        sources=SOURCES,
        parameters=TINY,
        defines={f"HB_FAULT_{part}": "1"},
        expect_failure=True,
    )
