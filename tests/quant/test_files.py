"""Checkpoints, models by name and the quantised model's file."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hessbit import quant
from hessbit.errors import ArtifactError, ConfigError, ModelError
from hessbit.quant.zoo import ResNet8


def test_load_model_forms(tmp_path: Path) -> None:
    net = ResNet8()
    save_file(net.state_dict(), tmp_path / "a.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}},
               tmp_path / "a.pt")  # fmt: skip
    (tmp_path / "net.py").write_text("from hessbit.quant.zoo import ResNet8 as Net\n")
    for spec, name in (("hessbit.quant.zoo:ResNet8", "a.safetensors"),
                       (f"{tmp_path}/net.py:Net", "a.pt")):  # fmt: skip
        got = quant.load_model(spec, tmp_path / name)
        assert not got.training
        torch.testing.assert_close(got.get_parameter("fc.weight"), net.fc.weight)


@pytest.mark.parametrize(
    "spec",
    ["nothing", "hessbit.quant.zoo:Nothing", "no.such.module:A", "missing.py:A", "math:pi",
     "hessbit.quant.zoo:Block", "builtins:dict"],
)  # fmt: skip
def test_bad_specs(spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        quant.load_model(spec)
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code from a checkpoint ran",))


def test_bad_checkpoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = ResNet8().state_dict()
    cases = {
        "missing": {k: v for k, v in state.items() if k != "fc.bias"},
        "extra": {**state, "head.weight": torch.zeros(1)},
        "shape": {**state, "fc.bias": torch.zeros(3)},
        "nan": {**state, "fc.bias": torch.full((10,), float("nan"))},
    }
    words = {"missing": "lacks fc.bias", "extra": "head.weight", "shape": "shape of fc.bias",
             "nan": "NaN"}  # fmt: skip
    for name, tensors in cases.items():
        path = tmp_path / f"{name}.safetensors"
        save_file(tensors, path)
        with pytest.raises(ModelError, match=words[name]):
            quant.load_checkpoint(ResNet8(), path)
    (tmp_path / "junk.safetensors").write_bytes(b"not a file")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("junk.safetensors", "evil.pt", "list.pt", "absent.pt"):
        with pytest.raises(ModelError) as caught:
            quant.load_checkpoint(ResNet8(), tmp_path / name)
        assert "\n" not in str(caught.value)
    assert "ran" not in capsys.readouterr().out


def test_corrupt_models_are_refused(small_net: nn.Module, tmp_path: Path) -> None:
    x = torch.randn(4, 3, 8, 8)
    graph = quant.capture(small_net, x[:1])
    q = quant.quantize(graph, quant.BitAssignment.uniform(graph, 4, 4), [x], rounding="nearest")
    path = tmp_path / "m.hbq"
    q.save(path)
    whole = path.read_bytes()
    for position in (len(whole) - 1, len(whole) // 2, 40):
        data = bytearray(whole)
        data[position] ^= 0x11
        path.write_bytes(bytes(data))
        with pytest.raises(ArtifactError):
            quant.load(path)
    for cut in (whole[:-5], whole[:20], b""):
        path.write_bytes(cut)
        with pytest.raises(ArtifactError):
            quant.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ArtifactError, match="hessbit-quantized"):
        quant.load(path)
    with pytest.raises(ArtifactError, match="no such file"):
        quant.load(tmp_path / "absent.hbq")
    with pytest.raises(ArtifactError, match="cannot write"):
        q.save(tmp_path / "no" / "folder.hbq")
    assert [p.name for p in tmp_path.iterdir()] == ["m.hbq"]
