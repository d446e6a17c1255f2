"""Build and run tb_engine_queue."""

import pytest
from runner import run

SOURCES = ["hb_fifo.sv", "hb_engine_queue.sv"]


@pytest.mark.parametrize(("width", "depth"), [(112, 4), (443, 4)])
def test_engine_queue(width: int, depth: int) -> None:
    parameters = {"Width": width, "Depth": depth}
    run("hb_engine_queue", "tb_engine_queue", sources=SOURCES, parameters=parameters)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_engine_queue",
        "tb_engine_queue",
        sources=SOURCES,
        parameters={"Width": 112, "Depth": 4},
        defines={"HB_FAULT_ENGINE_QUEUE": "1"},
        expect_failure=True,
    )
