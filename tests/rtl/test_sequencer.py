"""Build and run tb_sequencer."""

import pytest
from runner import run

SOURCES = ["hb_fifo.sv", "hb_sequencer.sv"]


@pytest.mark.parametrize("seed", [1, 2])
def test_sequencer(seed: int) -> None:
    run("hb_sequencer", "tb_sequencer", sources=SOURCES, seed=seed)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_sequencer",
        "tb_sequencer",
        sources=SOURCES,
        defines={"HB_FAULT_SEQUENCER": "1"},
        expect_failure=True,
    )
