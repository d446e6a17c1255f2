"""What a command says: tables and lines on standard output, progress on standard error."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Report = Callable[[str, float], None]
"""Progress: called with a text and the fraction that is done, 0..1."""


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def format_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A plain text table; numbers are set to the right, texts to the left."""
    cells = [[_cell(v) for v in row] for row in rows]
    widths = [
        max(len(c), *(len(r[i]) for r in cells)) if cells else len(c) for i, c in enumerate(columns)
    ]
    right = [
        all(r[i] is None or isinstance(r[i], int | float) for r in rows)
        for i in range(len(columns))
    ]

    def line(items: Sequence[str]) -> str:
        parts = (
            t.rjust(w) if r else t.ljust(w) for t, w, r in zip(items, widths, right, strict=True)
        )
        return "  ".join(parts).rstrip()

    rule = "  ".join("-" * w for w in widths)
    return "\n".join([line(columns), rule, *(line(r) for r in cells)])


class Ui:
    """The output of one command.

    Parameters
    ----------
    json : bool
        Say nothing but the result, as one JSON object.
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def say(self, text: str = "") -> None:
        """One line of the result for people."""
        if not self.json:
            print(text, flush=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table of the result for people."""
        self.say(format_table(columns, rows))

    def finish(self, result: Mapping[str, Any]) -> None:
        """The result for machines."""
        if self.json:
            print(json_module.dumps(result, indent=1))

    @contextmanager
    def progress(self, title: str) -> Iterator[Report]:
        """A progress bar on standard error while the block runs; nothing off a terminal."""
        if not sys.stderr.isatty():
            yield lambda text, fraction: None
            return
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        except ModuleNotFoundError:  # on a board
            yield lambda text, fraction: None
            return
        bar = Progress(
            TextColumn("{task.description:<12}"), BarColumn(30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(), TextColumn("{task.fields[text]}"),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        with bar:
            task = bar.add_task(title, total=1.0, text="")
            yield lambda text, fraction: bar.update(task, completed=fraction, text=text[:40])
