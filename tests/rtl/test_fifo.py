"""Build and run tb_fifo."""

import pytest
from runner import run


@pytest.mark.parametrize(("width", "depth"), [(8, 1), (40, 4), (64, 5)])
def test_fifo(width: int, depth: int) -> None:
    run("hb_fifo", "tb_fifo", sources=["hb_fifo.sv"], parameters={"Width": width, "Depth": depth})


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_fifo",
        "tb_fifo",
        sources=["hb_fifo.sv"],
        parameters={"Width": 8, "Depth": 4},
        defines={"HB_FAULT_FIFO": "1"},
        expect_failure=True,
    )
