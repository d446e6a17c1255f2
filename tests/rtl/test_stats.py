"""Build and run tb_stats."""

from runner import run

SOURCES = ["hb_stats.sv"]


def test_stats() -> None:
    run("hb_stats", "tb_stats", sources=SOURCES)


def test_seeded_fault_is_noticed() -> None:
    run(
        "hb_stats",
        "tb_stats",
        sources=SOURCES,
        defines={"HB_FAULT_STATS": "1"},
        expect_failure=True,
    )
