"""The compiled model: one ``.hbit`` file that compiler, simulators and boards share.

Layout (little endian)::

    0   8   magic  89 'HBIT' 0D 0A 1A
    8   4   format version
    12  4   bytes of the manifest
    16  8   bytes of the whole file
    24  32  SHA-256 of bytes 0..23 and of everything from byte 56 on
    56      manifest (JSON, UTF-8), then the sections one after another

The manifest says where every section is (`sections`: offset from the end of the manifest, bytes,
SHA-256). Sections: ``program`` (128-byte instructions), ``model`` (weights and parameters, to be
placed at Base.MODEL), ``golden_input`` (bytes at Base.INPUT) and ``golden_output`` (the output
tensor, cropped, uint8). Needs numpy alone, so that it also runs on a board.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hessbit.errors import ArtifactError, ConfigError
from hessbit.files import write_atomic
from hessbit.hw.config import AcceleratorConfig
from hessbit.hw.isa import INSTR_BYTES, ISA_VERSION, Instruction

MAGIC = b"\x89HBIT\r\n\x1a"
FORMAT_VERSION = 1
_HEAD = struct.Struct("<8sIIQ32s")
_SECTIONS = ("program", "model", "golden_input", "golden_output")

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """The network's input or output as the host sees it.

    Attributes
    ----------
    name : str
    h, w, c : int
        Shape, batch 1, NHWC.
    lanes_c : int
        Channels of a pixel in memory: ``c`` for the input, ``c`` padded to 16 for the output.
    bits : int
        Bits of a stored value; one byte each in DDR.
    scale : float
        ``real = (stored - zero_point) * scale``.
    zero_point : int
    """

    name: str
    h: int
    w: int
    c: int
    lanes_c: int
    bits: int
    scale: float
    zero_point: int

    @property
    def row_lanes(self) -> int:
        """Bytes of one row in DDR."""
        return self.w * self.lanes_c

    @property
    def bytes(self) -> int:
        """Bytes in DDR, rounded up to whole 64-bit beats."""
        return -(-self.h * self.row_lanes // 8) * 8


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A compiled model; arrays are flat uint8.

    Attributes
    ----------
    manifest : dict
        Everything but the sections; see ``docs`` and :mod:`hessbit.hw.compiler` for its keys.
    program, model : uint8 arrays
    golden_input : uint8, shape (h, w, c)
    golden_output : uint8, shape (h, w, c)
        What the network answers to ``golden_input``, padding channels cropped.
    """

    manifest: dict[str, Any]
    program: Bytes
    model: Bytes
    golden_input: Bytes
    golden_output: Bytes

    @property
    def config(self) -> AcceleratorConfig:
        """The accelerator configuration it was compiled for."""
        known = {f.name for f in fields(AcceleratorConfig)}
        return AcceleratorConfig(**{k: v for k, v in self.manifest["config"].items() if k in known})

    @property
    def input(self) -> TensorInfo:
        """The network's input."""
        return TensorInfo(**self.manifest["input"])

    @property
    def output(self) -> TensorInfo:
        """The network's output."""
        return TensorInfo(**self.manifest["output"])

    @property
    def n_instructions(self) -> int:
        """Instructions of the program, END included."""
        return len(self.program) // INSTR_BYTES

    def instructions(self) -> list[Instruction]:
        """The decoded program."""
        data = self.program.tobytes()
        return [
            Instruction.decode(data[i : i + INSTR_BYTES]) for i in range(0, len(data), INSTR_BYTES)
        ]

    def input_bytes(self, image: Bytes) -> bytes:
        """The bytes at Base.INPUT for ``image`` (h, w, c), padded to whole beats."""
        info = self.input
        if image.shape != (info.h, info.w, info.c) or image.dtype != np.uint8:
            raise ArtifactError(
                f"the input is uint8 ({info.h}, {info.w}, {info.c}), "
                f"not {image.dtype} {tuple(image.shape)}"
            )
        return image.tobytes().ljust(info.bytes, b"\0")

    def crop_output(self, data: bytes) -> Bytes:
        """The output tensor (h, w, c) from the bytes at Base.OUTPUT."""
        info = self.output
        raw = np.frombuffer(data, np.uint8, info.h * info.row_lanes)
        return raw.reshape(info.h, info.w, info.lanes_c)[:, :, : info.c].copy()

    def dequantize(self, output: Bytes) -> NDArray[np.float32]:
        """Real values of an output tensor."""
        info = self.output
        real = (output.astype(np.float32) - np.float32(info.zero_point)) * np.float32(info.scale)
        return np.asarray(real, np.float32)

    def save(self, path: str | Path) -> None:
        """Write the file whole or not at all (temporary file, then rename)."""
        write_atomic(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The file's content."""
        blobs = {name: np.ascontiguousarray(getattr(self, name)).tobytes() for name in _SECTIONS}
        table, at = {}, 0
        for name, blob in blobs.items():
            table[name] = {
                "offset": at,
                "bytes": len(blob),
                "sha256": hashlib.sha256(blob).hexdigest(),
            }
            at += len(blob)
        manifest = {k: v for k, v in self.manifest.items() if k != "sections"} | {"sections": table}
        text = json.dumps(manifest, sort_keys=True).encode()
        body = text + b"".join(blobs.values())
        head = struct.pack("<8sIIQ", MAGIC, FORMAT_VERSION, len(text), _HEAD.size + len(body))
        return head + hashlib.sha256(head + body).digest() + body

    @classmethod
    def load(cls, path: str | Path) -> Artifact:
        """Read and check a file.

        Raises
        ------
        ArtifactError
            When it is missing, not an artifact, truncated, changed, or of another format or ISA.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise ArtifactError(f"cannot read artifact {path}: {error.strerror}") from None
        return cls.from_bytes(data, str(path))

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "artifact") -> Artifact:
        """Inverse of :meth:`to_bytes`; raises like :meth:`load`."""
        if len(data) < _HEAD.size or data[:8] != MAGIC:
            raise ArtifactError(f"{name} is not a hessbit artifact")
        _, version, n_text, total, digest = _HEAD.unpack_from(data)
        if version != FORMAT_VERSION:
            raise ArtifactError(
                f"{name} has artifact format {version}, this release reads format {FORMAT_VERSION}"
            )
        if total != len(data):
            raise ArtifactError(f"{name} is truncated or extended: {len(data)} bytes, not {total}")
        if hashlib.sha256(data[:24] + data[_HEAD.size :]).digest() != digest:
            raise ArtifactError(f"{name} is corrupt: its checksum does not match")
        try:
            manifest = json.loads(data[_HEAD.size : _HEAD.size + n_text])
            if manifest["isa"] != ISA_VERSION:
                raise ArtifactError(
                    f"{name} was compiled for ISA version {manifest['isa']}, this is {ISA_VERSION}"
                )
            blobs, base = {}, _HEAD.size + n_text
            for section in _SECTIONS:
                entry = manifest["sections"][section]
                blob = data[base + entry["offset"] : base + entry["offset"] + entry["bytes"]]
                if hashlib.sha256(blob).hexdigest() != entry["sha256"]:
                    raise ArtifactError(f"{name} is corrupt: section {section}")
                blobs[section] = np.frombuffer(blob, np.uint8)
            for section, tensor in (("golden_input", "input"), ("golden_output", "output")):
                shape = tuple(manifest[tensor][k] for k in "hwc")
                blobs[section] = blobs[section].reshape(shape)
            artifact = cls(manifest=manifest, **blobs)
            if f"{artifact.config.hash:016x}" != manifest["config"]["hash"]:
                raise ArtifactError(f"{name}: the configuration's hash does not match its fields")
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise ArtifactError(f"{name} has a bad manifest: {error}") from None
        return artifact
