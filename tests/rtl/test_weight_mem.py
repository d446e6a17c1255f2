"""Build and run tb_weight_mem."""

import pytest
from runner import run

TINY = {"Dm": 4, "K": 32, "WeightRows": 1024}
CI = {"Dm": 8, "K": 64, "WeightRows": 2048}
Z7020 = {"Dm": 16, "K": 128, "WeightRows": 512}


@pytest.mark.parametrize("size", [TINY, CI, Z7020], ids=["tiny", "ci", "z7020"])
def test_weight_mem(size: dict[str, int]) -> None:
    run("hb_weight_mem", "tb_weight_mem", sources=["hb_weight_mem.sv"], parameters=size)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_weight_mem",
        "tb_weight_mem",
        sources=["hb_weight_mem.sv"],
        parameters=TINY,
        defines={"HB_FAULT_WEIGHT_MEM": "1"},
        expect_failure=True,
    )
