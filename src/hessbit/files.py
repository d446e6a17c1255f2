"""Files that are written whole or not at all, and the images that commands read."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hessbit.errors import ArtifactError, ShapeError

ASSETS = Path(__file__).resolve().parent / "assets"
"""Checkpoint and images that ship with the package; see its README."""


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write a file so that ``path`` holds either the old content or all of the new.

    Raises
    ------
    ArtifactError
        When the folder does not exist or cannot be written.
    """
    path = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ArtifactError(f"cannot write {path}: {error.strerror}") from error
        raise


def write_json(path: str | Path, data: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    write_atomic(path, (json.dumps(data, indent=1) + "\n").encode())


def write_npy(path: str | Path, array: NDArray[Any]) -> None:
    """Write one array as ``.npy``, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_atomic(path, buffer.getvalue())


@dataclass(frozen=True)
class Images:
    """Images uint8 ``(N, H, W, C)`` and, where the file has them, labels int64 ``(N,)``."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None


def load_images(path: str | Path, count: int | None = None) -> Images:
    """Read images from ``.npz`` (``images`` and perhaps ``labels``) or ``.npy``, without pickle.

    Parameters
    ----------
    path : path
        The file.
    count : int, optional
        Take the first ``count`` images only.

    Raises
    ------
    ArtifactError
        When the file is missing or not of that form, or holds fewer than ``count`` images.
    ShapeError
        When the images are not uint8 ``(N, H, W, C)`` or the labels do not fit them.
    """
    path = Path(path)
    labels: NDArray[Any] | None = None
    try:
        data = np.load(path, allow_pickle=False)
        if isinstance(data, np.ndarray):
            images = data
        else:
            with data:
                if "images" not in data:
                    raise ArtifactError(
                        f"{path} has no array 'images', only {', '.join(data.files) or 'nothing'}"
                    )
                images = data["images"]
                labels = data.get("labels")
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise ArtifactError(
            f"{path} is not a NumPy .npz or .npy file without pickle: {error}"
        ) from error
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ShapeError(
            f"{path}: images are {images.dtype} {images.shape}; need uint8 "
            "(N, height, width, channels)"
        )
    if labels is not None:
        if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
            raise ShapeError(
                f"{path}: labels are {labels.dtype} {labels.shape}; need integers ({len(images)},)"
            )
        labels = labels.astype(np.int64)
    if count is not None:
        if not 1 <= count <= len(images):
            raise ArtifactError(f"{path} holds {len(images)} images; asked for {count}")
        images = images[:count]
        labels = None if labels is None else labels[:count]
    return Images(images, labels)
