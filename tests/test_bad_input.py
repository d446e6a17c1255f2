"""Bad input: one clear line, exit code 1, nothing half-written."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest


def refused(answer, *words: str) -> None:
    """Assert one line on standard error that has all ``words``, exit code 1 and no result."""
    assert answer.code == 1, (answer.out, answer.err)
    assert answer.err.count("\n") == 1, answer.err
    assert "Traceback" not in answer.err
    for word in words:
        assert word in answer.err, answer.err
    assert answer.out == ""


def nothing_new(folder: Path) -> None:
    assert list(folder.iterdir()) == []


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """An empty working folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def compiled(small, tmp_path_factory) -> Path:
    """A compiled small network: ``model.hbq``, ``model.onnx``, ``model.hbit``."""
    from hessbit.cli import main

    folder = tmp_path_factory.mktemp("compiled")
    hbq, onnx, hbit = (str(folder / f"model.{s}") for s in ("hbq", "onnx", "hbit"))
    assert (
        main(["quantize", *small.options, *small.data, "--bits", "W4A4", "--out", hbq, "--json"])
        == 0
    )
    assert main(["export", hbq, "--qdq", onnx, "--json"]) == 0
    assert main(["compile", onnx, "--preset", "tiny", "--out", hbit, "--json"]) == 0
    return folder


def test_checkpoint_of_another_network(cli, small, here: Path) -> None:
    from hessbit.files import ASSETS

    other = str(ASSETS / "resnet8-cifar10.safetensors")
    options = ["--model", f"{small.module}:Net", "--checkpoint", other, "--input-shape", "3,8,8"]
    refused(cli("quantize", *options, *small.data, "--bits", "W8A8"), "another network", "bn1.bias")
    nothing_new(here)


def test_missing_and_corrupt_checkpoint(cli, small, here: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(small.checkpoint.read_bytes()[:200])
    options = [
        "--model",
        f"{small.module}:Net",
        "--input-shape",
        "3,8,8",
        *small.data,
        "--bits",
        "W8A8",
    ]
    refused(cli("quantize", *options, "--checkpoint", bad), str(bad))
    refused(cli("quantize", *options, "--checkpoint", "nowhere.safetensors"), "does not exist")
    nothing_new(here)


def test_checkpoint_with_code_is_not_run(cli, small, here: Path, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (here / "touched",))

    bad = tmp_path / "evil.pt"
    bad.write_bytes(pickle.dumps(Evil()))
    options = [
        "--model",
        f"{small.module}:Net",
        "--input-shape",
        "3,8,8",
        *small.data,
        "--bits",
        "W8A8",
    ]
    refused(cli("quantize", *options, "--checkpoint", bad), "cannot be read")
    nothing_new(here)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_weights(cli, small, here: Path, tmp_path: Path, value: float) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(small.checkpoint)
    state["conv2.weight"][0, 0, 0, 0] = value
    bad = tmp_path / "nan.safetensors"
    save_file(state, bad)
    options = ["--model", f"{small.module}:Net", "--checkpoint", bad, "--input-shape", "3,8,8"]
    refused(cli("quantize", *options, *small.data, "--bits", "W8A8"), "conv2.weight", "NaN")
    refused(cli("analyze", *options, *small.data), "conv2.weight", "NaN")
    nothing_new(here)


def test_unsupported_operator(cli, small, here: Path) -> None:
    options = [
        "--model", f"{small.module}:Sine", "--checkpoint", small.checkpoint,
        "--input-shape", "3,8,8",
    ]  # fmt: skip
    refused(
        cli("quantize", *options, *small.data, "--bits", "W8A8"),
        "unsupported operator",
        "sin",
        "node",
    )
    nothing_new(here)


def test_unsupported_operator_in_onnx(cli, compiled: Path, here: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(compiled / "model.onnx")
    relu = next(n for n in model.graph.node if n.op_type == "Relu")
    relu.op_type = "Softsign"
    bad = tmp_path / "bad.onnx"
    onnx.save(model, bad)
    refused(cli("compile", bad, "--preset", "tiny"), "unsupported operator Softsign", relu.name)
    nothing_new(here)


def test_not_an_onnx_file(cli, here: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no protobuf at all" * 10)
    refused(cli("compile", bad, "--preset", "tiny"), str(bad))
    refused(cli("compile", "nowhere.onnx", "--preset", "tiny"), "nowhere.onnx")
    nothing_new(here)


def test_unknown_preset(cli, compiled: Path, here: Path) -> None:
    refused(cli("compile", compiled / "model.onnx", "--preset", "huge"), "huge", "tiny, ci, z7020")
    nothing_new(here)


BIG = '''
from torch import nn
class Big(nn.Module):
    """Layers that are too large for the smallest preset."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 512, 3, STRIDE, 1)
        self.wide = nn.Conv2d(512, 16, 5, 1, 2)
    def forward(self, x):
        return self.wide(self.conv(x).relu())
'''


@pytest.mark.parametrize(
    ("stride", "words"),
    [(1, ("layer conv", "activation store")), (8, ("layer wide", "column memory"))],
)
def test_layer_that_cannot_fit(cli, small, here: Path, tmp_path: Path, stride: int, words) -> None:
    import torch
    from safetensors.torch import save_file

    from hessbit.quant import load_model

    module = tmp_path / "big.py"
    module.write_text(BIG.replace("STRIDE", str(stride)))
    torch.manual_seed(1)
    save_file(load_model(f"{module}:Big").state_dict(), tmp_path / "big.safetensors")
    options = [
        "--model", f"{module}:Big", "--checkpoint", tmp_path / "big.safetensors",
        "--input-shape", "3,8,8",
    ]  # fmt: skip
    hbq = tmp_path / "big.hbq"
    answer = cli(
        "quantize", *options, *small.data, "--count", 4, "--bits", "W8A8", "--rounding", "nearest",
        "--out", hbq, "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert cli("export", hbq, "--json").code == 0
    refused(cli("compile", hbq.with_suffix(".onnx"), "--preset", "tiny"), *words, "have", "need")
    nothing_new(here)


WIDE = '''
from torch import nn
class Wide(nn.Module):
    """A linear layer with so many inputs that 32 bits may overflow."""
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 160 * 160, 2)
    def forward(self, x):
        return self.fc(x.flatten(1))
'''


def test_accumulator_overflow(cli, here: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from hessbit.quant import load_model

    module = tmp_path / "wide.py"
    module.write_text(WIDE)
    model = load_model(f"{module}:Wide")
    with torch.no_grad():
        model.fc.weight.fill_(0.01)  # every weight at the largest integer, every input positive
    save_file(model.state_dict(), tmp_path / "wide.safetensors")
    np.savez(tmp_path / "wide.npz", images=np.full((2, 160, 160, 3), 255, np.uint8))
    options = [
        "--model", f"{module}:Wide", "--checkpoint", tmp_path / "wide.safetensors",
        "--input-shape", "3,160,160", "--data", tmp_path / "wide.npz",
    ]  # fmt: skip
    refused(
        cli("quantize", *options, "--bits", "W8A8", "--rounding", "nearest",
            "--weight-observer", "minmax"),
        "fc", "accumulator", "32 bits",
    )  # fmt: skip
    nothing_new(here)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.4, 0.999])
def test_truncated_artifact(
    cli, compiled: Path, here: Path, tmp_path: Path, small, share: float
) -> None:
    data = (compiled / "model.hbit").read_bytes()
    bad = tmp_path / "bad.hbit"
    bad.write_bytes(data[: int(len(data) * share)])
    refused(
        cli("simulate", bad, "--images", small.images, "--level", "rtl", "--out", "o.npy"), str(bad)
    )
    nothing_new(here)


def test_bit_flips_in_artifact(cli, compiled: Path, here: Path, tmp_path: Path, small) -> None:
    data = (compiled / "model.hbit").read_bytes()
    bad = tmp_path / "bad.hbit"
    rng = np.random.default_rng(3)
    for where in [*range(0, 56, 5), *rng.integers(56, len(data), 20)]:
        flipped = bytearray(data)
        flipped[where] ^= 1 << int(rng.integers(8))
        bad.write_bytes(flipped)
        refused(cli("run", bad, "--images", small.images, "--out", "o.npy"), str(bad))
    nothing_new(here)


def test_artifact_of_a_future_version(
    cli, compiled: Path, here: Path, tmp_path: Path, small
) -> None:
    data = bytearray((compiled / "model.hbit").read_bytes())
    (version,) = struct.unpack_from("<I", data, 8)
    struct.pack_into("<I", data, 8, version + 1)
    bad = tmp_path / "bad.hbit"
    bad.write_bytes(data)
    refused(
        cli("run", bad, "--images", small.images, "--out", "o.npy"),
        f"format {version + 1}",
        str(version),
    )
    nothing_new(here)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 9, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
    ],
)
def test_wrong_input_shape_or_type(
    cli, compiled: Path, here: Path, tmp_path: Path, small, images
) -> None:
    bad = tmp_path / "bad.npz"
    np.savez(bad, images=images)
    for command in (
        ["simulate", compiled / "model.hbit", "--level", "instruction"],
        ["simulate", compiled / "model.hbit", "--level", "rtl"],
        ["run", compiled / "model.hbit"],
    ):
        refused(cli(*command, "--images", bad, "--out", "o.npy"), "uint8", str(images.dtype))
    refused(cli("quantize", *small.options, "--data", bad, "--bits", "W8A8"), str(images.shape))
    nothing_new(here)


def test_images_with_pickles_are_refused(cli, compiled: Path, here: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.npy"
    np.save(bad, np.array([{"a": 1}], object), allow_pickle=True)
    refused(cli("run", compiled / "model.hbit", "--images", bad), str(bad), "pickle")
    nothing_new(here)


@pytest.mark.parametrize("fault", ["error", "dead"])
def test_bus_fault(cli, compiled: Path, here: Path, small, fault: str) -> None:
    answer = cli(
        "run", compiled / "model.hbit", "--board", "sim", "--bus-fault", fault,
        "--images", small.images,
        "--count", 1, "--out", "o.npy",
    )  # fmt: skip
    refused(answer, "AXI_READ" if fault == "error" else "WATCHDOG")
    nothing_new(here)


def test_infeasible_budget(cli, small, here: Path, tmp_path: Path) -> None:
    table = tmp_path / "s.json"
    answer = cli(
        "analyze", *small.options, *small.data, "--max-probes", 10, "--out", tmp_path / "c.json",
        "--sensitivity", table, "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    common = ["allocate", *small.options, "--sensitivity", table, "--preset", "tiny"]
    refused(cli(*common, "--budget", "bytes=1"), "have 1", "need")
    refused(cli(*common, "--budget", "watts=1"), "bytes=, bops= or cycles=")
    refused(cli(*common, "--budget", "bytes=1x", "--fix", "nolayer=W4"), "nolayer")
    nothing_new(here)


def test_output_folder_that_does_not_exist(cli, compiled: Path, here: Path) -> None:
    refused(cli("export", compiled / "model.hbq", "--qdq", "no/where.onnx"), "no/where.onnx")
    nothing_new(here)


def test_old_output_survives_a_failure(cli, compiled: Path, here: Path) -> None:
    shutil.copy(compiled / "model.hbit", here / "model.hbit")
    before = (here / "model.hbit").read_bytes()
    bad = here / "bad.onnx"
    bad.write_bytes((compiled / "model.onnx").read_bytes()[:500])
    refused(cli("compile", bad, "--preset", "tiny", "--out", here / "model.hbit"), str(bad))
    assert (here / "model.hbit").read_bytes() == before
    assert sorted(p.name for p in here.iterdir()) == ["bad.onnx", "model.hbit"]
