"""``mist status``: show the supervisor's table of processes."""

from __future__ import annotations

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from cli import terminal
from mist.paths import resolve_paths
from supervisor.control import Row, Status, ask_status

_COLOURS = {
    "running": "green",
    "stopping": "yellow",
    "backoff": "yellow",
    "killing": "red",
    "failed": "red",
}


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> None:
    """Show each process of the service: pid, state, since when, restarts, and why."""
    with terminal.bus_context() as context:
        status = ask_status(context, resolve_paths())
    if as_json:
        click.echo(msgspec.json.encode(status))
    else:
        Console().print(_table(status))


def _table(status: Status) -> Table:
    table = Table("PROCESS", "PID", "STATE", "SINCE", "RESTARTS", "WHY", box=box.SIMPLE)
    own = Row("supervisor", status.pid, status.state, status.since, 0, f"mist {status.version}")
    for row in [own, *status.processes]:
        table.add_row(
            row.process,
            "" if row.pid is None else str(row.pid),
            f"[{_COLOURS.get(row.state, 'default')}]{row.state}[/]",
            f"{row.since[:19]}Z",
            str(row.restarts),
            row.why,
        )
    return table
