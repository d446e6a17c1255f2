"""Build and run tb_col_mem."""

import pytest
from runner import run

SOURCES = ["hb_sdp_ram.sv", "hb_col_mem.sv"]


@pytest.mark.parametrize(
    ("dn", "w", "rows"), [(4, 16, 256), (4, 32, 512), (8, 64, 512)], ids=["tiny", "ci", "z7020"]
)
def test_col_mem(dn: int, w: int, rows: int) -> None:
    size = {"Dn": dn, "W": w, "ColRows": rows}
    run("hb_col_mem", "tb_col_mem", sources=SOURCES, parameters=size)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_col_mem",
        "tb_col_mem",
        sources=SOURCES,
        parameters={"Dn": 4, "W": 16, "ColRows": 256},
        defines={"HB_FAULT_COL_MEM": "1"},
        expect_failure=True,
    )
