"""Make the images that ship with hessbit from CIFAR-10.

    python -m benchmarks.make_sample --data FOLDER

Writes ``src/hessbit/assets/cifar10-test.npz`` (the first 300 images of the test set, in its order)
and ``cifar10-calibration.npz`` (256 of the training images, drawn without replacement by a fixed
seed). Each holds ``images``, uint8 ``(N, 32, 32, 3)``, and ``labels``, int64 ``(N,)``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.cifar10 import load

ASSETS = Path(__file__).resolve().parents[1] / "src" / "hessbit" / "assets"
TEST, CALIBRATION, SEED = 300, 256, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder with CIFAR-10")
    args = parser.parse_args()
    images, labels = load("test", args.data)
    np.savez_compressed(ASSETS / "cifar10-test.npz", images=images[:TEST], labels=labels[:TEST])
    images, labels = load("train", args.data)
    chosen = np.sort(np.random.default_rng(SEED).choice(len(images), CALIBRATION, replace=False))
    np.savez_compressed(
        ASSETS / "cifar10-calibration.npz", images=images[chosen], labels=labels[chosen]
    )
    for path in sorted(ASSETS.glob("*.npz")):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
