"""Build and run tb_unit."""

import pytest
from runner import run

SOURCES = ["hb_popcount.sv", "hb_unit.sv"]


@pytest.mark.parametrize(("k", "style"), [(32, 1), (64, 0), (128, 0)])
def test_unit(k: int, style: int) -> None:
    size = {"K": k, "PopcountStyle": style}
    run("hb_unit", "tb_unit", sources=SOURCES, parameters=size)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_unit",
        "tb_unit",
        sources=SOURCES,
        parameters={"K": 32},
        defines={"HB_FAULT_UNIT": "1"},
        expect_failure=True,
    )
