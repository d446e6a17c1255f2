"""Build and run tb_gather."""

import pytest
from runner import run

SOURCES = ["hb_gather_addr.sv", "hb_gather_align.sv", "hb_gather.sv"]


@pytest.mark.parametrize(
    ("dn", "w", "rows"), [(4, 16, 256), (4, 32, 512), (8, 64, 512)], ids=["tiny", "ci", "z7020"]
)
def test_gather(dn: int, w: int, rows: int) -> None:
    size = {"Dn": dn, "W": w, "ColRows": rows}
    run("hb_gather", "tb_gather", sources=SOURCES, parameters=size)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_gather",
        "tb_gather",
        sources=SOURCES,
        parameters={"Dn": 4, "W": 16, "ColRows": 256},
        defines={"HB_FAULT_GATHER": "1"},
        expect_failure=True,
    )
