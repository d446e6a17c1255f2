"""Hessian traces with standard errors, and the sensitivity of every layer at every width.

The curvature of the loss says how much a layer suffers from rounding:
Omega(layer, b) = trace / n * ||Q_b(W) - W||^2, for weights and activations.

example:
  hessbit analyze --out curvature.json --sensitivity sensitivity.json
  hessbit analyze --model net.py:Net --checkpoint net.safetensors --data images.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hessbit.cli import _options as options
from hessbit.cli._ui import Ui


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    options.add_model(parser)
    options.add_calibration(parser)
    parser.add_argument(
        "--out", default="curvature.json", metavar="FILE", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--sensitivity", default="sensitivity.json", metavar="FILE", help="(default: %(default)s)"
    )
    parser.add_argument("--min-probes", type=options.positive, default=10, metavar="N")
    parser.add_argument("--max-probes", type=options.positive, default=20, metavar="N")
    parser.add_argument(
        "--tolerance", type=float, default=0.1, metavar="R",
        help="stop when every layer's relative standard error is below R (default: %(default)s)",
    )  # fmt: skip


def show(ui: Ui, report: Any, table: Any) -> None:
    """The report and the table for people."""
    rows: list[list[object]] = []
    for name, e in report.layers.items():
        omega = table.weights[name]
        rows.append([name, e.size, e.trace, e.stderr, e.probes, *(omega[b] for b in (2, 4, 8))])
    ui.table(
        ["layer", "weights", "trace", "std error", "probes", "omega W2", "omega W4", "omega W8"],
        rows,
    )


def run(args: argparse.Namespace, ui: Ui) -> dict[str, Any]:
    """Analyze and write the two files."""
    from hessbit import quant

    graph = options.float_graph(args)
    batches = options.calibration(args)
    with ui.progress("curvature") as progress:
        report = quant.analyze(
            graph, batches, min_probes=args.min_probes, max_probes=args.max_probes,
            tolerance=args.tolerance, seed=args.seed, progress=progress,
        )  # fmt: skip
    table = quant.sensitivities(graph, report, batches)
    report.save(args.out)
    table.save(args.sensitivity)
    show(ui, report, table)
    ui.say(f"\n{report.images} images, {report.seconds:.1f} s")
    ui.say(f"wrote {args.out}, {args.sensitivity}")
    layers = {
        n: {"trace": e.trace, "stderr": e.stderr, "probes": e.probes}
        for n, e in report.layers.items()
    }
    return {
        "layers": layers, "images": report.images, "seconds": report.seconds,
        "files": [str(Path(args.out)), str(Path(args.sensitivity))],
    }  # fmt: skip
