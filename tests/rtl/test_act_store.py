"""Build and run tb_act_store."""

import pytest
from runner import run

SOURCES = ["hb_sdp_ram.sv", "hb_act_store.sv"]


@pytest.mark.parametrize(
    ("w", "dm", "rows"), [(16, 4, 512), (32, 8, 1536), (64, 16, 1536)], ids=["tiny", "ci", "z7020"]
)
def test_act_store(w: int, dm: int, rows: int) -> None:
    size = {"W": w, "Dm": dm, "ActRows": rows}
    run("hb_act_store", "tb_act_store", sources=SOURCES, parameters=size)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_act_store",
        "tb_act_store",
        sources=SOURCES,
        parameters={"W": 16, "Dm": 4, "ActRows": 512},
        defines={"HB_FAULT_ACT_STORE": "1"},
        expect_failure=True,
    )
