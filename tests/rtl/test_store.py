"""Build and run tb_store."""

import pytest
from runner import run

SOURCES = ["hb_fifo.sv", "hb_store.sv"]


@pytest.mark.parametrize("word", [16, 32, 64])
def test_store(word: int) -> None:
    run("hb_store", "tb_store", sources=SOURCES, parameters={"W": word})


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_store",
        "tb_store",
        sources=SOURCES,
        parameters={"W": 16},
        defines={"HB_FAULT_STORE": "1"},
        expect_failure=True,
    )
