"""The file of a quantised model (``*.hbq``): safetensors, structure as JSON, hash over both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hessbit.errors import ArtifactError, ModelError, NumericsError
from hessbit.files import write_atomic
from hessbit.quant.model import QRegion, QTensor, QuantizedModel

FORMAT, VERSION = "hessbit-quantized", 1
_ARRAYS = {"weight": np.int8, "weight_scale": np.float32, "bias": np.int32}


def read_json(path: str | Path, form: str | None = None, version: int = 1) -> dict[str, Any]:
    """Read a JSON object and check its ``format`` and ``version``.

    Raises
    ------
    ArtifactError
        When the file is missing, not JSON, of another format or of another version.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ArtifactError(f"{path} holds no JSON object")
    if form is not None and (data.get("format"), data.get("version")) != (form, version):
        raise ArtifactError(
            f"{path} is {data.get('format')!r} version {data.get('version')!r}; "
            f"need {form!r} version {version}"
        )
    return data


def _digest(structure: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    digest = hashlib.sha256(structure.encode())
    for key in sorted(arrays):
        a = arrays[key]
        digest.update(f"{key} {a.dtype.str} {a.shape};".encode())
        digest.update(np.ascontiguousarray(a).tobytes())
    return digest.hexdigest()


def save(model: QuantizedModel, path: str | Path) -> None:
    """Write a quantised model.

    Raises
    ------
    ArtifactError
        When the file cannot be written.
    """
    from safetensors.numpy import save as pack

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    regions = []
    for r in model.regions:
        entry = {k: v for k, v in vars(r).items() if k not in _ARRAYS}
        regions.append(entry)
        if r.is_layer:
            arrays.update({f"{r.name}.{k}": getattr(r, k) for k in _ARRAYS})
    structure = json.dumps(
        {
            "regions": regions,
            "tensors": [asdict(t) for t in model.qtensors.values()],
            "output": model.output,
            "flatten_output": model.flatten_output,
        }
    )
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "structure": structure,
        "sha256": _digest(structure, arrays),
    }
    write_atomic(path, pack(arrays, metadata=metadata))


def load(path: str | Path) -> QuantizedModel:
    """Read a quantised model.

    Raises
    ------
    ArtifactError
        When the file is missing, truncated, altered or of another format or version.
    """
    from safetensors import safe_open

    if not Path(path).is_file():
        raise ArtifactError(f"cannot read {path}: no such file")
    try:
        with safe_open(str(path), framework="np") as file:
            metadata = dict(file.metadata() or {})
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:  # safetensors raises its own Rust types
        raise ArtifactError(f"{path} is corrupt or no quantised model: {error}") from error
    if (metadata.get("format"), metadata.get("version")) != (FORMAT, str(VERSION)):
        raise ArtifactError(
            f"{path} is {metadata.get('format')!r} version {metadata.get('version')!r}; need "
            f"{FORMAT!r} {VERSION}"
        )
    structure = metadata.get("structure", "")
    if _digest(structure, arrays) != metadata.get("sha256"):
        raise ArtifactError(f"{path} is corrupt: its hash does not match its content")
    try:
        data = json.loads(structure)
        regions = tuple(_region(entry, arrays) for entry in data["regions"])
        tensors = {t["name"]: QTensor(**{**t, "shape": tuple(t["shape"])}) for t in data["tensors"]}
        return QuantizedModel(regions, tensors, data["output"], data["flatten_output"])
    except (KeyError, TypeError, ValueError, ModelError, NumericsError) as error:
        raise ArtifactError(f"{path} is malformed: {error}") from error


def _region(entry: dict[str, Any], arrays: Mapping[str, Any]) -> QRegion:
    pairs = {k: tuple(entry[k]) for k in ("kernel", "stride", "padding", "dilation")}
    held = {k: None for k in _ARRAYS}
    if entry["kind"] in ("conv", "linear"):
        held = {k: arrays[f"{entry['name']}.{k}"] for k in _ARRAYS}
    return QRegion(**{**entry, **pairs, **held})
