"""The artifact file: round trip, damage, versions."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nets import random_net

from hessbit.deploy import artifact as module
from hessbit.deploy.artifact import FORMAT_VERSION, Artifact
from hessbit.errors import ArtifactError
from hessbit.hw.compiler import compile_graph
from hessbit.hw.config import preset
from hessbit.hw.frontend import convert
from hessbit.hw.passes import run_passes


@pytest.fixture(scope="module")
def compiled() -> Artifact:
    graph = run_passes(convert(random_net(0).model(), "net"))
    return compile_graph(graph, preset("tiny")).artifact


def test_round_trip(compiled: Artifact, tmp_path: Path) -> None:
    compiled.save(tmp_path / "a.hbit")
    again = Artifact.load(tmp_path / "a.hbit")
    for name in ("program", "model", "golden_input", "golden_output"):
        assert np.array_equal(getattr(again, name), getattr(compiled, name))
    assert again.manifest["layers"] == compiled.manifest["layers"]
    assert again.to_bytes() == compiled.to_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["a.hbit"]


def test_any_changed_byte_is_noticed(compiled: Artifact) -> None:
    data = compiled.to_bytes()
    places = {*range(64), *range(64, len(data), 97), len(data) - 1}
    for at in places:
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(ArtifactError) as error:
            Artifact.from_bytes(bytes(damaged))
        assert "\n" not in str(error.value)


def test_any_truncation_is_noticed(compiled: Artifact) -> None:
    data = compiled.to_bytes()
    for size in (0, 7, 8, 55, 56, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(ArtifactError):
            Artifact.from_bytes(data[:size])
    with pytest.raises(ArtifactError, match="truncated or extended"):
        Artifact.from_bytes(data + b"\0")


def _sealed(head: bytes, body: bytes) -> bytes:
    return head + hashlib.sha256(head + body).digest() + body


def test_versions(compiled: Artifact) -> None:
    data = compiled.to_bytes()
    future = bytearray(data)
    struct.pack_into("<I", future, 8, FORMAT_VERSION + 1)
    with pytest.raises(ArtifactError, match=f"artifact format {FORMAT_VERSION + 1}"):
        Artifact.from_bytes(bytes(future))
    other = replace(compiled, manifest=compiled.manifest | {"isa": 99})
    with pytest.raises(ArtifactError, match="ISA version 99"):
        Artifact.from_bytes(other.to_bytes())
    config = compiled.manifest["config"] | {"act_rows": 1024}
    other = replace(compiled, manifest=compiled.manifest | {"config": config})
    with pytest.raises(ArtifactError, match="hash"):
        Artifact.from_bytes(other.to_bytes())


def test_sealed_nonsense_is_refused(compiled: Artifact) -> None:
    """A valid checksum over a bad manifest."""
    for text in (b"", b"[]", b"{}", b"\xff", b'{"isa": 1}'):
        head = struct.pack("<8sIIQ", module.MAGIC, FORMAT_VERSION, len(text), 56 + len(text))
        with pytest.raises(ArtifactError):
            Artifact.from_bytes(_sealed(head, text))


def test_missing_file_and_wrong_image(compiled: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot read"):
        Artifact.load(tmp_path / "none.hbit")
    with pytest.raises(ArtifactError, match="the input is uint8"):
        compiled.input_bytes(np.zeros((1, 2, 3), np.uint8))
    assert len(compiled.input_bytes(compiled.golden_input)) == compiled.input.bytes
    real = compiled.dequantize(compiled.golden_output)
    assert real.dtype == np.float32 and real.shape == compiled.golden_output.shape


def test_a_failed_save_leaves_nothing(compiled: Artifact, tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "kept").touch()
    with pytest.raises(ArtifactError, match="cannot write"):
        compiled.save(target)
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
