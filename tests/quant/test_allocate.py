"""Allocation against brute force; infeasibility; bit assignments."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from hessbit import quant
from hessbit.errors import ArtifactError, ConfigError, InfeasibleError


def _graph() -> quant.FloatGraph:
    def layer(name: str, source: str, c_in: int, skip: str | None = None) -> quant.Region:
        return quant.Region(
            name=name, kind="conv", input=source, in_shape=(c_in, 4, 4), out_shape=(4, 4, 4),
            weight=np.ones((4, c_in, 1, 1), np.float32), bias=np.zeros(4, np.float32), skip=skip,
        )  # fmt: skip

    regions = (layer("a", "input", 3), layer("b", "a", 4), layer("c", "a", 4, "b"),
               layer("d", "c", 4))  # fmt: skip
    return quant.FloatGraph(regions=regions, output="d", in_shape=(3, 4, 4))


GRAPH = _graph()
WIDTHS = (2, 4, 8)


def random_table(rng: np.random.Generator) -> quant.SensitivityTable:
    def row() -> dict[int, float]:  # noisy: neither monotone nor positive
        return {b: float(rng.normal(1, 1) * 4.0 ** (4 - b)) for b in WIDTHS}

    return quant.SensitivityTable(
        weights={n: row() for n in "abcd"}, activations={t: row() for t in ("input", "a", "c")},
        inputs={"a": "input", "b": "a", "c": "a", "d": "c"},
    )  # fmt: skip


def every_assignment() -> list[quant.BitAssignment]:
    out = []
    for wa, wb, wc, wd, ab, ad in itertools.product(WIDTHS, repeat=6):
        bits = zip("abcd", (wa, wb, wc, wd), (8, ab, ab, ad), strict=True)
        out.append(quant.BitAssignment({n: quant.LayerBits(w, a) for n, w, a in bits}))
    return out


EVERY = every_assignment()


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(seed=st.integers(0, 2**16), share=st.floats(0.3, 0.95))
def test_exact(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    table = random_table(rng)
    cycles = {
        (n, w, a): float(w * a * k) for k, n in enumerate("abcd", 1) for w in range(9)
        for a in range(9)
    }  # fmt: skip
    top = quant.cost(GRAPH, quant.BitAssignment.uniform(GRAPH, 8, 8), cycles)
    assert top.cycles is not None
    limits = (share * top.bytes, share * top.bops, share * top.cycles)
    best = min(
        quant.omega(table, b) for b in EVERY
        if (c := quant.cost(GRAPH, b, cycles)).bytes <= limits[0] and c.bops <= limits[1]
        and c.cycles is not None and c.cycles <= limits[2]
    )  # fmt: skip
    got = quant.allocate(
        GRAPH, table, max_bytes=limits[0], max_bops=limits[1], max_cycles=limits[2], cycles=cycles,
        weight_bits=WIDTHS, act_bits=WIDTHS,
    )  # fmt: skip
    used = quant.cost(GRAPH, got, cycles)
    assert used.bytes <= limits[0] and used.bops <= limits[1]
    assert used.cycles is not None and used.cycles <= limits[2]
    assert quant.omega(table, got) == pytest.approx(best, rel=1e-6, abs=1e-9)


def test_ties_and_fixed() -> None:
    table = random_table(np.random.default_rng(0))
    got = quant.allocate(
        GRAPH, table, max_bytes=20, fixed={"b": (4, 2), "d": (None, 4)}, weight_bits=WIDTHS,
        act_bits=WIDTHS,
    )  # fmt: skip
    assert got.layers["b"] == quant.LayerBits(4, 2)
    assert got.layers["c"].act_bits == 2 and got.layers["d"].act_bits == 4
    assert got.layers["a"].act_bits == 8
    for fixed in ({"x": (8, 8)}, {"a": (8, 4)}, {"b": (8, 2), "c": (8, 4)}, {"b": (9, 2)}):
        with pytest.raises(ConfigError):
            quant.allocate(GRAPH, table, fixed=fixed, weight_bits=WIDTHS, act_bits=WIDTHS)
    with pytest.raises(ConfigError, match="lacks"):
        quant.allocate(GRAPH, table, weight_bits=(3,), act_bits=WIDTHS)
    with pytest.raises(ConfigError, match="table"):
        quant.allocate(GRAPH, table, max_cycles=1)


def test_infeasible_names_the_budget() -> None:
    table = random_table(np.random.default_rng(0))
    with pytest.raises(InfeasibleError, match="bops") as caught:
        quant.allocate(
            GRAPH, table, max_bytes=1000, max_bops=100, weight_bits=WIDTHS, act_bits=WIDTHS
        )
    least = quant.cost(GRAPH, quant.BitAssignment.uniform(GRAPH, 2, 2, None)).bops
    assert (caught.value.have, caught.value.need) == (100, least)
    # each budget alone is possible, both together are not
    cycles = {(n, w, a): float(20 - w) for n in "abcd" for w in range(9) for a in range(9)}
    with pytest.raises(InfeasibleError, match="under the other budgets"):
        quant.allocate(
            GRAPH, table, max_bytes=15, max_cycles=50, cycles=cycles, weight_bits=WIDTHS,
            act_bits=WIDTHS,
        )  # fmt: skip


def test_pareto() -> None:
    table = random_table(np.random.default_rng(5))
    points = quant.pareto(GRAPH, table, bounds=[60, 1, 20, 30], weight_bits=WIDTHS, act_bits=WIDTHS)
    assert [p.bound for p in points] == [20, 30, 60]
    assert all(p.bytes <= p.bound for p in points)
    assert [p.omega for p in points] == sorted((p.omega for p in points), reverse=True)
    with pytest.raises(ConfigError):
        quant.pareto(GRAPH, table, bounds=[1], constraint="area")


def test_assignments(tmp_path: Path) -> None:
    bits = quant.BitAssignment.uniform(GRAPH, 4, 3)
    assert bits.layers == {
        "a": quant.LayerBits(8, 8), "b": quant.LayerBits(4, 3), "c": quant.LayerBits(4, 3),
        "d": quant.LayerBits(8, 8),
    }  # fmt: skip
    assert bits.tensor_bits(GRAPH) == {"input": 8, "a": 3, "b": 8, "c": 8, "d": 8}
    bits.save(tmp_path / "b.json")
    assert quant.BitAssignment.load(tmp_path / "b.json") == bits
    (tmp_path / "b.json").write_text('{"layers": {"a": {"weight_bits": 4}}}')
    with pytest.raises(ConfigError, match="'a'"):
        quant.BitAssignment.load(tmp_path / "b.json")
    with pytest.raises(ArtifactError):
        quant.BitAssignment.load(tmp_path / "none.json")
    for layers in (
        {**bits.layers, "e": quant.LayerBits(4, 4)},
        {**bits.layers, "b": quant.LayerBits(4, 4)},
        {**bits.layers, "a": quant.LayerBits(4, 4)},
        {**bits.layers, "d": quant.LayerBits(0, 8)},
        {"a": quant.LayerBits(8, 8)},
    ):
        with pytest.raises(ConfigError):
            quant.BitAssignment(layers).check(GRAPH)


def test_quantize_checks_the_assignment(small_net: nn.Module) -> None:
    x = torch.randn(2, 3, 8, 8)
    with pytest.raises(ConfigError, match=r"unknown layer|nothing for"):
        quant.quantize(
            quant.capture(small_net, x[:1]), quant.BitAssignment.uniform(GRAPH, 4, 4), [x]
        )
