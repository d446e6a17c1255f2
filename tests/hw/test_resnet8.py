"""ResNet-8 from the quantizer: the reference is the integer model, the program is the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hazards import check

from hessbit import quant
from hessbit.hw.compiler import compile_graph, load_graph
from hessbit.hw.config import preset
from hessbit.quant.zoo import ResNet8
from hessbit.sim import instruction
from hessbit.sim.reference import run, run_tensors


@pytest.fixture(scope="module")
def graph() -> quant.FloatGraph:
    torch.manual_seed(0)
    return quant.capture(ResNet8().eval(), torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize("bits", [(1, 1), (3, 5), (4, 4)])
def test_resnet8(graph: quant.FloatGraph, bits: tuple[int, int], tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    batches = [torch.randn(4, 3, 32, 32, generator=rng)]
    assignment = quant.BitAssignment.uniform(graph, *bits)
    model = quant.quantize(graph, assignment, batches, rounding="nearest", observer="minmax")
    quant.export_qdq(model, tmp_path / "r8.onnx")
    ir = load_graph(tmp_path / "r8.onnx")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    tensors = run_tensors(ir, images)
    for name, want in model.tensors(images).items():
        assert np.array_equal(tensors[name].reshape(want.shape), want), name
    compiled = compile_graph(ir, preset("z7020"))
    assert check(compiled.program.instructions, preset("z7020")) > 50
    got = instruction.run(compiled.artifact, images[:1], order_seed=bits[0])
    assert np.array_equal(got, run(ir, images[:1]))
