"""Build and run tb_popcount in both styles."""

import pytest
from runner import run


@pytest.mark.parametrize("style", [0, 1])
@pytest.mark.parametrize("width", [16, 32, 64])
def test_popcount(width: int, style: int) -> None:
    size = {"Width": width, "Style": style}
    run("hb_popcount", "tb_popcount", sources=["hb_popcount.sv"], parameters=size)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_popcount",
        "tb_popcount",
        sources=["hb_popcount.sv"],
        parameters={"Width": 32, "Style": 1},
        defines={"HB_FAULT_POPCOUNT": "1"},
        expect_failure=True,
    )
