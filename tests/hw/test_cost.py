"""The cost model: what must hold whatever its constants are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nets import Net, random_net

from hessbit.errors import InfeasibleError
from hessbit.geometry import LayerGeometry
from hessbit.hw.compiler import compile_graph
from hessbit.hw.config import PRESETS, preset
from hessbit.hw.cost import cycle_table, layer_cycles
from hessbit.hw.frontend import convert
from hessbit.hw.passes import run_passes


def geometry(**changes: int) -> LayerGeometry:
    base = LayerGeometry(name="l", c_in=64, c_out=64, kh=3, kw=3, stride=1, pad=1, h_in=8, w_in=8)
    return replace(base, **changes)


@pytest.mark.parametrize("name", list(PRESETS))
def test_fewer_bits_never_cost_more(name: str) -> None:
    config = preset(name)
    table = cycle_table(config, [geometry(c_in=16)])
    for (layer, wb, ab), cycles in table.items():
        assert cycles > 0
        for less in ((layer, wb - 1, ab), (layer, wb, ab - 1)):
            assert table.get(less, 0) <= cycles + 8  # lane mode 1 has an empty step for wb = 1


def test_bits_pay_on_the_big_array() -> None:
    config = preset("z7020")
    w8, w4, w2 = (layer_cycles(config, geometry(), b, b) for b in (8, 4, 2))
    assert 3.5 < w8 / w4 < 4.2
    assert w4 / w2 > 2.5


def test_a_layer_never_beats_the_array() -> None:
    for config in PRESETS.values():
        g = geometry(c_in=16)
        ideal = g.macs * 4 * 4 / (config.dm * config.dn * config.k)
        assert layer_cycles(config, g, 4, 4) >= ideal


def test_layers_that_do_not_fit() -> None:
    with pytest.raises(InfeasibleError, match="layer l: rows of the column memory"):
        layer_cycles(preset("tiny"), geometry(c_in=512), 8, 8)
    table = cycle_table(preset("tiny"), [geometry(c_in=192)])
    assert ("l", 8, 4) in table and ("l", 8, 8) not in table


@pytest.mark.parametrize("name", list(PRESETS))
def test_prediction_of_a_compiled_network(name: str) -> None:
    config = preset(name)
    compiled = compile_graph(run_passes(convert(random_net(1).model(), "net")), config)
    for cost, layer in zip(compiled.costs, compiled.artifact.manifest["layers"], strict=True):
        assert cost.cycles == layer["cycles"] > 0
        assert 0 <= cost.utilisation <= 1
        assert cost.bound in ("array", "gather", "drain", "pool", "load")
    assert compiled.artifact.manifest["cycles"] > sum(c.cycles for c in compiled.costs)


def test_table_and_prediction_agree_on_a_large_layer() -> None:
    net = Net(16, 16, 16)
    net.conv(64, 3, wb=4, ob=4)
    net.conv(64, 3, wb=4, ob=4)
    config = preset("z7020")
    compiled = compile_graph(run_passes(convert(net.model(), "net")), config)
    alone = layer_cycles(config, geometry(h_in=16, w_in=16), 4, 4)
    assert compiled.costs[1].cycles == pytest.approx(alone, rel=0.05)
