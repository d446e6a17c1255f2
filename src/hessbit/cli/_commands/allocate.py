"""Choose the widths of all layers, exactly, under budgets of bytes, BOPS or accelerator cycles.

Minimises the sum of the sensitivities. A budget is a number or a share of uniform W8A8.

example:
  hessbit allocate --sensitivity sensitivity.json --budget cycles=0.5x --out bits.json
  hessbit allocate --sensitivity sensitivity.json --budget bytes=40000 --fix conv=W8
"""

from __future__ import annotations

import argparse
from typing import Any

from hessbit.cli import _options as options
from hessbit.cli._ui import Ui


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this command."""
    options.add_model(parser)
    options.add_preset(parser)
    parser.add_argument("--sensitivity", required=True, metavar="FILE", help="from hessbit analyze")
    parser.add_argument(
        "--budget", action="append", required=True, metavar="KIND=LIMIT",
        help="bytes=40000, bops=2e9 or cycles=0.5x (a share of W8A8); may be given for each kind",
    )  # fmt: skip
    parser.add_argument(
        "--fix", action="append", metavar="LAYER=W4A8", help="fix a layer's widths; may be repeated"
    )
    parser.add_argument("--out", default="bits.json", metavar="FILE", help="(default: %(default)s)")


def run(args: argparse.Namespace, ui: Ui) -> dict[str, Any]:
    """Allocate and write the bits file."""
    from hessbit import quant
    from hessbit.hw.config import preset

    config = preset(args.preset)
    graph = options.float_graph(args)
    table = quant.SensitivityTable.load(args.sensitivity)
    choice = options.choose_bits(graph, table, config, args.budget, options.parse_fixed(args.fix))
    choice.bits.save(args.out)
    ui.table(
        ["layer", "W", "A", "cycles"],
        [
            [n, b.weight_bits, b.act_bits, choice.cycles[n, b.weight_bits, b.act_bits]]
            for n, b in choice.bits.layers.items()
        ],
    )
    ui.say()
    ui.table(
        ["", "bytes", "BOPS", "cycles"],
        [
            [word, round(c.bytes), round(c.bops), round(c.cycles or 0)]
            for word, c in (("W8A8", choice.reference), ("chosen", choice.cost))
        ],
    )
    ui.say(f"wrote {args.out}")
    cost = choice.cost
    return {
        **choice.bits.to_dict(), "limits": choice.limits,
        "cost": {"bytes": cost.bytes, "bops": cost.bops, "cycles": cost.cycles},
        "files": [str(args.out)],
    }  # fmt: skip
