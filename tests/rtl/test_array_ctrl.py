"""Build and run tb_array_ctrl."""

import pytest
from runner import run


@pytest.mark.parametrize(("dn", "col_rows"), [(4, 256), (8, 512), (5, 300)])
def test_array_ctrl(dn: int, col_rows: int) -> None:
    size = {"Dn": dn, "ColRows": col_rows}
    run("hb_array_ctrl", "tb_array_ctrl", sources=["hb_array_ctrl.sv"], parameters=size)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_array_ctrl",
        "tb_array_ctrl",
        sources=["hb_array_ctrl.sv"],
        parameters={"Dn": 4, "ColRows": 256},
        defines={"HB_FAULT_ARRAY_CTRL": "1"},
        expect_failure=True,
    )
