"""Build and run tb_load."""

import pytest
from runner import run

SIZES = {"tiny": (4, 32), "ci": (8, 64), "z7020": (16, 128)}


@pytest.mark.parametrize("name", SIZES)
def test_load(name: str) -> None:
    dm, k = SIZES[name]
    run("hb_load", "tb_load", sources=["hb_load.sv"], parameters={"Dm": dm, "K": k})


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_load",
        "tb_load",
        sources=["hb_load.sv"],
        parameters={"Dm": 4, "K": 32},
        defines={"HB_FAULT_LOAD": "1"},
        expect_failure=True,
    )
