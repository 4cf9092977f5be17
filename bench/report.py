"""Print the result as a table, and save it as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.results import Result, Row

# The width of the table; rich assumes 80 columns if the output goes to a file.
_COLUMNS: Final = 140


def console() -> Console:
    """Return a console as wide as the terminal, or as the table if there is no terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=_COLUMNS)


def show(result: Result, console: Console) -> None:
    """Print the table, followed by the notes of each measurement."""
    table = Table(title="Mist, measured next to its yardsticks")
    table.add_column("measurement")
    for column in ("value", "yardstick", "unit", "ratio", "target", "met"):
        table.add_column(column, justify="left" if column == "unit" else "right")
    for row in result.rows:
        table.add_row(*_cells(row))
    console.print(table)
    for name, notes in result.notes.items():
        for note in notes:
            # Brackets are markup to rich.
            console.print(f"[dim]{escape(name)}:[/dim] {escape(note)}", soft_wrap=True)


def save(result: Result, path: Path) -> None:
    """Write the result as ``{"rows": […], "notes": {…}}``."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


def _cells(row: Row) -> list[str]:
    yardstick = "–" if row.yardstick is None else figure(row.yardstick)
    ratio = "–" if row.ratio is None else f"{row.ratio:.2f}"
    met = "[green]yes[/green]" if row.met else "[red]no[/red]"
    return [row.name, figure(row.value), yardstick, row.unit, ratio, row.target, met]


def figure(number: float) -> str:
    """Format a number with as many digits as are significant."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"
