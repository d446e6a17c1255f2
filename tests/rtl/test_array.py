"""Build and run tb_array: the array with its controller and memories."""

import pytest
from runner import run

SOURCES = [
    "hb_popcount.sv",
    "hb_unit.sv",
    "hb_array.sv",
    "hb_array_ctrl.sv",
    "hb_weight_mem.sv",
    "hb_sdp_ram.sv",
    "hb_col_mem.sv",
    "../tests/rtl/wrap/wrap_array.sv",
]
TINY = {"Dm": 4, "Dn": 4, "K": 32, "R": 2, "WeightRows": 1024, "ColRows": 256}
CI = {"Dm": 8, "Dn": 4, "K": 64, "R": 4, "WeightRows": 2048, "ColRows": 512}
Z7020 = {"Dm": 16, "Dn": 8, "K": 128, "R": 16, "WeightRows": 512, "ColRows": 512}


@pytest.mark.parametrize("size", [TINY, CI, Z7020], ids=["tiny", "ci", "z7020"])
def test_array(size: dict[str, int]) -> None:
    run("wrap_array", "tb_array", sources=SOURCES, parameters=size)


def test_array_with_synthesised_popcount_and_odd_width() -> None:
    size = TINY | {"Dn": 3, "PopcountStyle": 1}
    run("wrap_array", "tb_array", sources=SOURCES, parameters=size, seed=2)


@pytest.mark.parametrize("fault", ["ARRAY", "ARRAY_CTRL", "UNIT"])
def test_seeded_fault_is_noticed(fault: str) -> None:
    run(
        "wrap_array",
        "tb_array",
        sources=SOURCES,
        parameters=TINY,
        defines={f"HB_FAULT_{fault}": "1"},
        expect_failure=True,
    )
