"""Build and run tb_param_mem."""

import pytest
from runner import run


@pytest.mark.parametrize(("r", "channels"), [(1, 32), (4, 512), (16, 1024)])
def test_param_mem(r: int, channels: int) -> None:
    run(
        "hb_param_mem",
        "tb_param_mem",
        sources=["hb_param_mem.sv"],
        parameters={"R": r, "ParamChannels": channels},
    )


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_param_mem",
        "tb_param_mem",
        sources=["hb_param_mem.sv"],
        parameters={"R": 4, "ParamChannels": 32},
        defines={"HB_FAULT_PARAM_MEM": "1"},
        expect_failure=True,
    )
