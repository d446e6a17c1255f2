"""Quantize a network to integers at given widths.

example:
  hessbit quantize --bits bits.json --out model.hbq
  hessbit quantize --bits W4A4 --observer mse --out model.hbq
"""

from __future__ import annotations

import argparse
from typing import Any

from hessbit.cli import _options as options
from hessbit.cli._ui import Ui


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    options.add_model(parser)
    options.add_calibration(parser)
    parser.add_argument(
        "--bits", required=True, metavar="W4A4|FILE",
        help="uniform widths (first and last layer 8) or a file from hessbit allocate",
    )  # fmt: skip
    observers = ("minmax", "percentile", "mse")
    parser.add_argument("--observer", choices=observers, default="mse", help="activation ranges")
    parser.add_argument(
        "--weight-observer", choices=("minmax", "mse"), default="mse", help="weight ranges"
    )
    parser.add_argument("--rounding", choices=("nearest", "compensated"), default="compensated")
    parser.add_argument("--out", default="model.hbq", metavar="FILE", help="(default: %(default)s)")


def run(args: argparse.Namespace, ui: Ui) -> dict[str, Any]:
    """Quantize and write the model."""
    from hessbit import quant

    graph = options.float_graph(args)
    bits = options.parse_bits(args.bits, graph)
    with ui.progress("quantize") as progress:
        model = quant.quantize(
            graph, bits, options.calibration(args), observer=args.observer,
            weight_observer=args.weight_observer, rounding=args.rounding,
            input_scale=args.input_scale, input_zero_point=args.input_zero_point, progress=progress,
        )  # fmt: skip
    model.save(args.out)
    rows = model.report()
    columns = ["name", "kind", "weight_bits", "act_bits", "acc_min", "acc_max", "dyadic_error"]
    ui.table(columns, [[row[c] for c in columns] for row in rows])
    ui.say(f"\n{model.weight_bytes:,} bytes of weights; wrote {args.out}")
    return {"layers": rows, "weight_bytes": model.weight_bytes, "files": [str(args.out)]}
