"""RTL against the integer model on real images, cycles by layer, cost model, simulation speed.

    python -m benchmarks.bitexact                       # presets ci and z7020, 100 images, an hour
    python -m benchmarks.bitexact --preset ci --images 10 --bits W4A4

For W8A8, W4A4, W2A2, W1A1 (first and last layer 8 bits) and for the mixed assignment (2..8 bits by
curvature, half the cycles of W8A8): images whose RTL outputs equal the integer model, cycles of
each layer in RTL and in the cost model, ratios of the layers with 64 output channels from one width
to the next, simulated cycles per second and the time to build the simulator (without cache). Writes
benchmarks/results/bitexact-PRESET.json after every configuration.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

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
from hessbit import flow, quant
from hessbit.files import ASSETS, Images, load_images
from hessbit.hw.config import AcceleratorConfig, preset
from hessbit.quant import BitAssignment, FloatGraph

WIDE = 64
"""Output channels of the layers whose cycles must fall with the bits."""


def build_seconds(config: AcceleratorConfig) -> float:
    """Seconds to build the simulator into an empty cache, without ccache."""
    before = {k: os.environ.get(k) for k in ("XDG_CACHE_HOME", "CCACHE_DISABLE")}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"XDG_CACHE_HOME": folder, "CCACHE_DISABLE": "1"}
        start = time.monotonic()
        flow.build_rtl(config)
        seconds = time.monotonic() - start
    for key, value in before.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value
    return seconds


def measure(
    graph: FloatGraph, bits: BitAssignment, config: AcceleratorConfig, images: Images,
    batches: list[Any], workers: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Quantize, compile and simulate one assignment."""
    model = quant.quantize(graph, bits, batches)
    expected = model.run(images.images)
    with tempfile.TemporaryDirectory() as folder:
        onnx, hbit = Path(folder) / "m.onnx", Path(folder) / "m.hbit"
        quant.export_qdq(model, onnx)
        artifact = flow.compile_onnx(onnx, config)
        artifact.save(hbit)
        rtl = flow.run_rtl(hbit, images.images, workers=workers)
    same = (rtl.outputs.reshape(expected.shape) == expected).all(1)
    rows = flow.compare_layers(artifact, rtl.report.layer_cycles())
    cycles = sum(rtl.cycles) / len(rtl.cycles)
    predicted = int(artifact.manifest["cycles"])
    assert images.labels is not None
    return {
        "bits": short(bits),
        "images": len(same),
        "identical_images": int(same.sum()),
        "accuracy_on_these": round(flow.accuracy(expected, images.labels), 2),
        "cycles": cycles,
        "latency_ms": round(cycles / config.clk_mhz / 1000, 4),
        "predicted_cycles": predicted,
        "predicted_error_percent": round(100 * (predicted / cycles - 1), 2),
        "largest_layer_error_percent": round(
            max((100 * (r.predicted / r.cycles - 1) for r in rows), key=abs), 2
        ),
        "layers": {
            r.name: {
                "cycles": r.cycles, "predicted": r.predicted,
                "error_percent": round(100 * (r.predicted / r.cycles - 1), 2),
                "utilisation": round(r.utilisation, 3),
            }
            for r in rows
        },
        "simulation_seconds": round(rtl.seconds, 1),
        "workers": rtl.workers,
        "cycles_per_cpu_second": round(sum(rtl.cycles) / rtl.busy_seconds),
        "cpu_seconds_per_image": round(rtl.busy_seconds / len(same), 3),
    }  # fmt: skip


def ratios(graph: FloatGraph, rows: dict[str, Any]) -> dict[str, Any]:
    """How many times fewer cycles each layer with 64 output channels takes from width to width."""
    wide = [g.name for g in quant.geometry(graph) if g.c_out == WIDE]
    out: dict[str, Any] = {}
    for before, after in (("W8A8", "W4A4"), ("W4A4", "W2A2")):
        if before in rows and after in rows:
            a, b = rows[before]["layers"], rows[after]["layers"]
            layers = {n: round(a[n]["cycles"] / b[n]["cycles"], 2) for n in wide}
            together = sum(a[n]["cycles"] for n in wide) / sum(b[n]["cycles"] for n in wide)
            out[f"{before} to {after}"] = {**layers, "together": round(together, 2)}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--preset", action="append", help="(default: ci and z7020)")
    parser.add_argument(
        "--bits", action="append", choices=[*UNIFORM, "mixed"], help="(default: all)"
    )
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--checkpoint", default=str(CHECKPOINT))
    parser.add_argument("--workers", type=int)
    args = parser.parse_args()
    images = load_images(ASSETS / "cifar10-test.npz", args.images)
    _, graph = network(args.checkpoint)
    batches = calibration()
    chosen = args.bits or [*UNIFORM, "mixed"]
    table = curvature(graph, batches, args.checkpoint)[1] if "mixed" in chosen else None
    for name in args.preset or ["ci", "z7020"]:
        config = preset(name)
        result: dict[str, Any] = {
            "preset": name, "clk_mhz": config.clk_mhz,
            "build_seconds": round(build_seconds(config), 1)
        }  # fmt: skip
        rows: dict[str, Any] = {}
        for which in chosen:
            if which == "mixed":
                assert table is not None
                bits = mixed(graph, table, config)
            else:
                bits = BitAssignment.uniform(graph, *UNIFORM[which])
            row = rows[which] = measure(graph, bits, config, images, batches, args.workers)
            print(
                f"{name} {which}: {row['identical_images']} of {row['images']} identical, "
                f"{row['cycles']:,.0f} cycles, predicted {row['predicted_error_percent']:+.1f} % "
                f"(layer at most {row['largest_layer_error_percent']:+.1f} %), "
                f"{row['cycles_per_cpu_second']:,} cycles a processor second",
                flush=True,
            )
            result |= {"configurations": rows, "ratios": ratios(graph, rows)}
            write(f"bitexact-{name}", result)


if __name__ == "__main__":
    main()
