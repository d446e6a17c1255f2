"""Whole compiles: every preset, hazards, images of weights, artifacts that run the right layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hazards import check
from nets import Net, random_net

from hessbit.deploy.artifact import Artifact
from hessbit.errors import InfeasibleError, PassError
from hessbit.hw import codegen
from hessbit.hw.compiler import compile_graph, compile_model, load_graph
from hessbit.hw.config import PRESETS, preset
from hessbit.hw.emit import generate
from hessbit.hw.frontend import convert
from hessbit.hw.images import weight_image
from hessbit.hw.ir import Conv
from hessbit.hw.isa import Instruction, Opcode
from hessbit.hw.passes import run_passes
from hessbit.hw.plan import allocate, op_shape, output_groups
from hessbit.sim.reference import run, run_tensors


@pytest.mark.parametrize("name", list(PRESETS))
@pytest.mark.parametrize("seed", range(6))
def test_random_networks(name: str, seed: int, tmp_path: Path) -> None:
    graph = run_passes(convert(random_net(seed).model(), "net"))
    compiled = compile_graph(graph, preset(name))
    artifact = compiled.artifact
    assert check(artifact.instructions(), preset(name)) > 10
    artifact.save(tmp_path / "net.hbit")
    again = Artifact.load(tmp_path / "net.hbit")
    assert again.config == preset(name)
    assert again.instructions() == compiled.program.instructions
    assert again.instructions()[-1].opcode == Opcode.END
    assert np.array_equal(run(graph, again.golden_input)[0], again.golden_output)
    covered: dict[str, int] = {}
    for i in again.instructions():
        if i.opcode in (Opcode.CONV, Opcode.POOL):
            n = i.fields["npix"] * i.fields["n_groups"]
            layer = again.manifest["layers"][i.layer]["name"]
            covered[layer] = covered.get(layer, 0) + n
    for op in graph.compute:
        y = graph.tensors[op.output]
        assert covered[op.name] == y.h * y.w * output_groups(preset(name), graph, op)


@pytest.mark.parametrize("seed", range(6))
def test_hazards_with_small_memories(seed: int) -> None:
    """Rings of weights and parameters, layers in several parts, maps that reuse memory."""
    base = preset("tiny")
    graph = run_passes(convert(random_net(seed).model(), "net"))
    shapes = [op_shape(base, graph, op) for op in graph.compute if isinstance(op, Conv)]
    rows = max(16, 2 * max(s.w_stride for s in shapes))
    words = [p.words for p in allocate(graph, base).values()]
    for act_rows in range(max(8, max(words) // 8 + 1), base.act_rows, 8):
        config = replace(base, weight_rows=rows, param_channels=16, act_rows=act_rows)
        try:
            places = allocate(graph, config)
        except InfeasibleError:
            continue
        break
    program = generate(graph, config, places)
    assert check(program.instructions, config) > 10
    assert len(program.units) > len(graph.compute)
    assert (
        max(u.w_base + (u.shape.w_stride if u.shape else 0) * u.groups for u in program.units)
        <= rows
    )


def test_hazard_checker_notices_a_missing_wait() -> None:
    graph = run_passes(convert(random_net(1).model(), "net"))
    program = compile_graph(graph, preset("tiny")).program.instructions
    noticed = 0
    for i, instruction in enumerate(program):
        if any(instruction.waits):
            broken = [*program[:i], replace(instruction, waits=(0,) * 6), *program[i + 1 :]]
            try:
                check(broken, preset("tiny"))
            except AssertionError:
                noticed += 1
    assert noticed >= len(graph.compute)


@pytest.mark.parametrize("name", list(PRESETS))
@pytest.mark.parametrize("wb", (1, 2, 3, 8))
@pytest.mark.parametrize("mode", (0, 1))
@pytest.mark.parametrize("dilation", (1, 2))
def test_weight_image_is_what_the_array_reads(name: str, wb: int, mode: int, dilation: int) -> None:
    """Sum of planes against a random column, read as the array does, equals the dot product."""
    config = preset(name)
    net = Net(6, 6, 3, seed=wb)
    net.conv(16, 3)
    net.conv(9, 3, wb=wb, dilation=dilation)
    graph = run_passes(convert(net.model(), "net"))
    op = graph.compute[1]
    assert isinstance(op, Conv)
    shape = replace(op_shape(config, graph, op), lane_mode=mode)
    kw, kp = shape.kwords, -(-shape.kwords // 2)
    shape = replace(shape, w_stride=wb * kp if mode == 0 else -(-wb * kw // 2))
    groups = -(-9 // config.dm)
    data = weight_image(config, op, shape, 16, groups)
    bits = np.unpackbits(data, axis=1, bitorder="little")
    bits = bits.reshape(groups, shape.w_stride, config.dm, 2, config.word)
    window = np.random.default_rng(0).integers(0, 16, (3, 3, 16))
    column = np.zeros(kw * config.word, np.int64)
    column[: 9 * 16] = window.reshape(-1)  # segments are multiples of 16 here
    words = column.reshape(kw, config.word)
    acc = np.zeros((groups, config.dm), np.int64)
    for i in range(wb):
        weight = -(1 << i) if i == wb - 1 and not op.bipolar else 1 << i
        for k in range(kw):
            if mode == 0:
                row = bits[:, i * kp + k // 2, :, k % 2]
            else:
                at = i * kw + k
                row = bits[:, at // 2, :, at % 2]
            acc += weight * (row.astype(np.int64) @ words[k])
    acc = acc.reshape(-1)[:9]
    if op.bipolar:
        acc = 2 * acc - column.sum()
    assert np.array_equal(acc, np.tensordot(op.weights, window, 3))


def test_generated_files_are_current() -> None:
    root = Path(codegen.__file__).resolve().parent.parent
    for path, text in codegen.outputs(root).items():
        assert path.read_text() == text, f"{path} is stale: python -m hessbit.hw.codegen"


def test_instruction_round_trip() -> None:
    artifact = compile_graph(run_passes(convert(random_net(0).model(), "n")), preset("ci")).artifact
    for i in artifact.instructions():
        assert Instruction.decode(i.encode()) == i


def test_infeasible_layers_are_named() -> None:
    wide = Net(4, 4, 3)
    wide.conv(512, 3)
    wide.conv(16, 3)
    graph = run_passes(convert(wide.model(), "wide"))
    with pytest.raises(
        InfeasibleError, match=r"layer conv\d+: rows of the column memory: have 128, need"
    ):
        compile_graph(graph, preset("tiny"))
    big = Net(64, 64, 3)
    big.conv(64, 3, ob=8)
    with pytest.raises(InfeasibleError, match=r"layer input: words of one half"):
        compile_graph(run_passes(convert(big.model(), "big")), preset("tiny"))
    graph = run_passes(convert(random_net(2).model(), "net"))
    with pytest.raises(InfeasibleError, match="weight memory"):
        compile_graph(graph, replace(preset("z7020"), weight_rows=16, k=32))


def test_verifier_names_the_pass() -> None:
    graph = run_passes(convert(random_net(3).model(), "net"))

    def broken(g):
        op = next(op for op in g.ops if isinstance(op, Conv))
        bad = replace(op, weights=op.weights[:, :, :, :1] * 1000)
        return g.with_ops([bad if o is op else o for o in g.ops])

    with pytest.raises(PassError, match="pass broken broke the IR at conv"):
        run_passes(graph, (broken,))


def test_bipolar_layers_read_padded_channels() -> None:
    net = Net(6, 6, 3)
    net.conv(10, 3, ob=4, relu=False)
    net.conv(8, 3, wb=1)
    graph = run_passes(convert(net.model(), "net"))
    first, second = graph.compute
    assert output_groups(preset("tiny"), graph, first) == 4
    assert output_groups(preset("tiny"), graph, second) == 2
    tensors = run_tensors(graph, np.zeros((6, 6, 3), np.uint8))
    assert set(tensors) == set(graph.tensors)


def test_compile_model_from_a_file(tmp_path: Path) -> None:
    path = random_net(4).save(tmp_path / "four.onnx")
    artifact = compile_model(path, preset("z7020"))
    assert artifact.manifest["model"] == "four"
    assert artifact.output.c == artifact.golden_output.shape[2]
    raw = np.zeros((artifact.output.h, artifact.output.w, artifact.output.lanes_c), np.uint8)
    raw[:, :, : artifact.output.c] = artifact.golden_output
    assert np.array_equal(artifact.crop_output(raw.tobytes()), artifact.golden_output)
    assert load_graph(path).input.shape == artifact.golden_input.shape
