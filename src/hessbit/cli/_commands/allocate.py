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
    from hessbit.flow import cycle_table
    from hessbit.hw.config import preset

    config = preset(args.preset)
    graph = options.float_graph(args)
    table = quant.SensitivityTable.load(args.sensitivity)
    cycles = cycle_table(graph, config)
    reference = quant.cost(graph, quant.BitAssignment.uniform(graph, 8, 8), cycles)
    limits = options.parse_budgets(args.budget, reference)
    bits = quant.allocate(graph, table, cycles=cycles, fixed=options.parse_fixed(args.fix), **limits)
    bits.save(args.out)
    cost = quant.cost(graph, bits, cycles)
    ui.table(
        ["layer", "W", "A", "cycles"],
        [[n, b.weight_bits, b.act_bits, cycles[n, b.weight_bits, b.act_bits]] for n, b in bits.layers.items()],
    )
    ui.say()
    ui.table(
        ["", "bytes", "BOPS", "cycles"],
        [
            [word, round(c.bytes), round(c.bops), round(c.cycles or 0)]
            for word, c in (("W8A8", reference), ("chosen", cost))
        ],
    )
    ui.say(f"wrote {args.out}")
    return {
        **bits.to_dict(), "limits": limits,
        "cost": {"bytes": cost.bytes, "bops": cost.bops, "cycles": cost.cycles},
        "files": [str(args.out)],
    }  # fmt: skip
