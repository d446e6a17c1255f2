"""Build and run tb_top."""

import pytest
from runner import RTL, run

from hessbit.hw.config import PRESETS

SOURCES = sorted(p.name for p in RTL.glob("hb_*.sv"))


@pytest.mark.parametrize("name", ["tiny", "ci"])
def test_top(name: str) -> None:
    run("hb_top", "tb_top", sources=SOURCES, parameters=PRESETS[name].rtl_parameters())


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_top",
        "tb_top",
        sources=SOURCES,
        parameters=PRESETS["tiny"].rtl_parameters(),
        defines={"HB_FAULT_LOAD": "1"},
        expect_failure=True,
    )
