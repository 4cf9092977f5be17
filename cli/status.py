"""``mist status``: show the supervisor's table of processes."""

from __future__ import annotations

import click
from rich.text import Text

from cli import terminal
from cli.remote.choice import chosen_service, remotely
from mist.paths import resolve_paths
from mist.status import ServiceStatus, StatusRow

_HEADINGS = ("PROCESS", "PID", "STATE", "SINCE", "RESTARTS", "WHY")
_COLOURS = {
    "running": "green",
    "stopping": "yellow",
    "backoff": "yellow",
    "killing": "red",
    "hung": "red",
    "failed": "red",
}


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@remotely
def command(as_json: bool) -> None:
    """Show each process of the service: pid, state, since when, restarts, and why."""
    service = chosen_service()
    status = _own_status() if service is None else service.read(ServiceStatus, "GET", "/api/status")
    if as_json:
        terminal.write_json(status)
    else:
        own = StatusRow(
            "supervisor", status.pid, status.state, status.since, 0, f"mist {status.version}"
        )
        terminal.show_table(_HEADINGS, map(_cells, [own, *status.processes]))


def _own_status() -> ServiceStatus:
    """Ask the supervisor on this machine."""
    from supervisor.control import ask_status  # noqa: PLC0415 - not needed from afar

    with terminal.bus_context() as context:
        return ask_status(context, resolve_paths())


def _cells(row: StatusRow) -> tuple[str | Text, ...]:
    return (
        row.process,
        "" if row.pid is None else str(row.pid),
        Text(row.state, style=_COLOURS.get(row.state, "default")),
        f"{row.since[:19]}Z",
        str(row.restarts),
        row.why,
    )
