"""Build and run tb_requant_lane."""

import pytest
from runner import run


@pytest.mark.parametrize("seed", [1, 2])
def test_requant_lane(seed: int) -> None:
    run("hb_requant_lane", "tb_requant_lane", sources=["hb_requant_lane.sv"], seed=seed)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_requant_lane",
        "tb_requant_lane",
        sources=["hb_requant_lane.sv"],
        defines={"HB_FAULT_REQUANT_LANE": "1"},
        expect_failure=True,
    )
