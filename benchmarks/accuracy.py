"""Accuracy of ResNet-8 on the whole CIFAR-10 test set, and agreement of the three exact forms.

    python -m benchmarks.accuracy --data FOLDER

For W8A8, W4A4, W2A2 (first and last layer 8 bits) and for 2..8 bits chosen by curvature under half
the cycles of W8A8: accuracy of the integer model; on how many images the integer ONNX in
onnxruntime equals it (all outputs); on how many the QDQ ONNX differs, and by how many steps.
Takes a quarter of an hour on 2 idle cores; writes benchmarks/results/accuracy.json after every one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._assignments import (
    CHECKPOINT,
    UNIFORM,
    calibration,
    curvature,
    mixed,
    network,
    short,
)
from benchmarks._results import write
from benchmarks.cifar10 import load
from hessbit import quant
from hessbit.flow import accuracy, run_integer_onnx, run_qdq_onnx
from hessbit.hw.config import preset
from hessbit.quant import BitAssignment, FloatGraph


@torch.no_grad()
def float_accuracy(
    model: torch.nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> float:
    x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 128) / 64
    return accuracy(torch.cat([model(part) for part in x.split(500)]).numpy(), labels)


def measure(
    graph: FloatGraph, bits: BitAssignment, rounding: str, images: NDArray[np.uint8],
    labels: NDArray[np.int64], batches: list[Any],
) -> dict[str, Any]:  # fmt: skip
    """Quantize, run all forms on all images."""
    start = time.monotonic()
    model = quant.quantize(graph, bits, batches, rounding=rounding)
    seconds = time.monotonic() - start
    outputs = model.run(images)
    with tempfile.TemporaryDirectory() as folder:
        qdq, integer = Path(folder) / "m.onnx", Path(folder) / "m.int.onnx"
        quant.export_qdq(model, qdq)
        quant.export_integer(model, integer)
        exact = run_integer_onnx(integer, images)
        near = run_qdq_onnx(qdq, images, model)
    step = np.abs(near - outputs.astype(np.int64))
    return {
        "bits": short(bits),
        "rounding": rounding,
        "weight_bytes": model.weight_bytes,
        "quantize_seconds": round(seconds, 1),
        "accuracy": round(accuracy(outputs, labels), 2),
        "integer_onnx_equal_images": int((exact == outputs).all(1).sum()),
        "qdq_accuracy": round(accuracy(near, labels), 2),
        "qdq_different_images": int((step > 0).any(1).sum()),
        "qdq_different_outputs": int((step > 0).sum()),
        "qdq_largest_steps": int(step.max()),
        "qdq_different_labels": int((near.argmax(1) != outputs.argmax(1)).sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder with CIFAR-10")
    parser.add_argument("--checkpoint", default=str(CHECKPOINT))
    parser.add_argument("--preset", default="z7020", help="whose cycles bound the mixed assignment")
    args = parser.parse_args()
    images, labels = load("test", args.data)
    torch.manual_seed(0)
    model, graph = network(args.checkpoint)
    batches = calibration()
    result: dict[str, Any] = {
        "images": len(images), "float": round(float_accuracy(model, images, labels), 2),
        "preset": args.preset, "configurations": {},
    }  # fmt: skip
    print(f"float {result['float']:.2f} %", flush=True)
    report, table = curvature(graph, batches, args.checkpoint)
    result["curvature"] = {
        "images": report.images, "seconds": round(report.seconds, 1),
        "layers": {
            n: {"trace": round(e.trace, 4), "stderr": round(e.stderr, 4), "probes": e.probes}
            for n, e in report.layers.items()
        },
    }  # fmt: skip
    jobs: list[tuple[str, BitAssignment, str]] = []
    for name in ("W8A8", "W4A4", "W2A2"):
        jobs.append((name, BitAssignment.uniform(graph, *UNIFORM[name]), "compensated"))
    jobs.append(("W4A4 nearest", jobs[1][1], "nearest"))
    jobs.append(("mixed", mixed(graph, table, preset(args.preset)), "compensated"))
    for name, bits, rounding in jobs:
        row = measure(graph, bits, rounding, images, labels, batches)
        result["configurations"][name] = row
        print(
            f"{name}: {row['accuracy']:.2f} %, integer ONNX equal on "
            f"{row['integer_onnx_equal_images']} of {len(images)}, QDQ differs on "
            f"{row['qdq_different_images']} (at most {row['qdq_largest_steps']} steps)",
            flush=True,
        )
        write("accuracy", result)


if __name__ == "__main__":
    main()
