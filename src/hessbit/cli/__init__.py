"""The command line: ``hessbit COMMAND ...``; one module for each command, imported only to run.

Results go to standard output, progress to standard error and only on a terminal. Exit status: 0
done, 1 an error in one line (``--debug`` shows the traceback), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from hessbit import __version__
from hessbit.cli._ui import Ui
from hessbit.errors import HessbitError

_COMMANDS = ("analyze", "allocate", "quantize", "export", "compile", "simulate", "run", "demo")

_DESCRIPTION = """\
From a trained PyTorch network to a bit-exact low-bit FPGA accelerator.

The way of the data, each step usable alone on files:

  checkpoint --analyze--> curvature.json, sensitivity.json
             --allocate--> bits.json --quantize--> model.hbq
             --export--> model.onnx, model.int.onnx
             --compile--> model.hbit --simulate--> outputs, cycles
                                    --run--> the same on a board

`hessbit demo` does all of it on the network that ships with hessbit."""


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands; their modules import nothing heavy."""
    parser = argparse.ArgumentParser(
        prog="hessbit",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hessbit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in _COMMANDS:
        module = importlib.import_module(f"hessbit.cli._commands.{name}")
        doc = module.__doc__ or ""
        summary, _, details = doc.partition("\n")
        sub = commands.add_parser(
            name,
            help=summary.rstrip("."),
            description=f"{summary}\n{details}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        general = sub.add_argument_group("general")
        general.add_argument("--json", action="store_true", help="print the result as JSON")
        general.add_argument(
            "--seed", type=int, default=0, help="seed of everything random (default 0)"
        )
        general.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(run=module.run)
    return parser


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments without the program's name; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0 when done, 1 after an error. Wrong usage leaves through ``SystemExit(2)``.
    """
    args = build_parser().parse_args(argv)
    ui = Ui(json=args.json)
    try:
        result = args.run(args, ui)
        ui.finish(result)
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        print("hessbit: interrupted", file=sys.stderr)
        return 130
    except HessbitError as error:
        if args.debug:
            raise
        print(f"hessbit {args.command}: error: {_one_line(str(error))}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if args.debug or (error.name or "").startswith("hessbit"):
            raise
        print(
            f"hessbit {args.command}: error: this command needs {error.name}; "
            "pip install 'hessbit[quant]' brings it",
            file=sys.stderr,
        )
        return 1
    return 0
