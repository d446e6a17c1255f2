"""Write the tables of measured figures into README.md from benchmarks/results/.

python -m benchmarks.report          # between the results markers of README.md
python -m benchmarks.report --check  # exit 1 when README.md differs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- results:begin -->\n", "<!-- results:end -->"


def _load(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _table(columns: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def _accuracy(result: dict[str, Any]) -> list[str]:
    n, base = result["images"], result["float"]
    rows = []
    for name, c in result["configurations"].items():
        qdq = f"{c['qdq_different_images']:,} images, at most {c['qdq_largest_steps']} steps"
        rows.append(
            [
                name,
                f"{c['accuracy']:.2f} %",
                f"{c['accuracy'] - base:+.2f}",
                f"{c['weight_bytes']:,}",
                f"{c['integer_onnx_equal_images']:,} of {n:,}",
                qdq + f", {c['qdq_different_labels']} other labels",
            ]
        )
    return [
        f"**Accuracy**, ResNet-8 on all {n:,} CIFAR-10 test images; float {base:.2f} %. First and "
        f"last layer 8 bits; *mixed*: 2..8 bits by curvature under half the W8A8 cycles of "
        f"`{result['preset']}`. "
        f"From `benchmarks/results/accuracy.json`: `{result['command']}`.",
        "",
        *_table(
            [
                "bits",
                "integer model",
                "against float",
                "weight bytes",
                "integer ONNX equal",
                "QDQ differs on",
            ],
            rows,
        ),
    ]


def _rtl(result: dict[str, Any]) -> list[str]:
    rows = []
    for name, c in result["configurations"].items():
        rows.append(
            [
                name,
                f"{c['identical_images']} of {c['images']}",
                f"{c['cycles']:,.0f}",
                f"{c['latency_ms']:.3f} ms",
                f"{c['predicted_error_percent']:+.1f} %",
                f"{c['largest_layer_error_percent']:+.1f} %",
                f"{c['cycles_per_cpu_second']:,}",
                f"{c['cpu_seconds_per_image']:.2f} s",
            ]
        )
    ratios = "; ".join(
        f"{name}: {r['together']:.2f}x ("
        + ", ".join(f"{k} {v}" for k, v in r.items() if k != "together")
        + ")"
        for name, r in result.get("ratios", {}).items()
    )
    preset = result["preset"]
    return [
        f"**RTL**, preset `{preset}`, batch 1, DDR to DDR, at {result['clk_mhz']:g} MHz (assumed, "
        f"before place and route). From `benchmarks/results/bitexact-{preset}.json`: "
        f"`{result['command']}`.",
        "",
        *_table(
            ["bits", "images identical", "cycles", "latency", "predicted", "worst layer",
             "simulated cycles / CPU s", "CPU s an image"],
            rows,
        ),
        f"Simulator built in {result['build_seconds']:g} s without caches. "
        f"Layers with 64 output channels, cycles from width to width: {ratios}."
        if ratios
        else f"Simulator built in {result['build_seconds']:g} s without caches.",
        "",
    ]  # fmt: skip


def text() -> str:
    """The README's section of results."""
    lines: list[str] = []
    found = _load("accuracy")
    if found:
        lines += _accuracy(found)
    for preset in ("z7020", "ci"):
        found = _load(f"bitexact-{preset}")
        if found:
            lines += _rtl(found)
    return "\n".join(lines)


def main() -> None:
    path = ROOT / "README.md"
    before, _, rest = path.read_text().partition(BEGIN)
    after = rest[rest.index(END) :]
    new = before + BEGIN + text() + after
    if "--check" in sys.argv[1:]:
        sys.exit(
            0 if path.read_text() == new else "README.md differs: run python -m benchmarks.report"
        )
    path.write_text(new)


if __name__ == "__main__":
    main()
