"""``mist deploy``: request a deployment and follow it to its end."""

from __future__ import annotations

import time
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli import terminal
from cli.remote.choice import chosen_service, remotely
from cli.state import note_change, opened_store, user_name
from mist.apps import management
from mist.deployments.records import Reader, closing_records, status_of, text_of
from mist.deployments.requests import request_deployment
from mist.errors import BusError, Exit, NotFound
from mist.messages import DeploymentStatus
from mist.paths import Paths, resolve_paths
from mist.settings import load_settings
from mist.store import Deployment, Store
from mist.visible import coloured, visible

# How often the log file is read, in seconds; reading a local file costs next to nothing.
_LOOK_SECONDS: Final = 0.1
# How often the row is read, for the place in the queue and an end missing from the file.
_ROW_SECONDS: Final = 0.5
# After this long in the queue, the command checks whether the service is running.
_PATIENCE_SECONDS: Final = 3.0


@click.command("deploy")
@click.argument("app")
@click.option(
    "--rollback-to",
    type=click.IntRange(min=1),
    metavar="DEPLOYMENT",
    help="Start the image of an earlier deployment without building.",
)
@remotely
def command(app: str, rollback_to: int | None) -> None:
    """Deploy APP (its name or id) and follow the deployment until it ends.

    The exit status is 0 after success and 1 after a failure.  Ctrl-C stops following
    but does not cancel the deployment.
    """
    if (service := chosen_service()) is not None:
        from cli.remote import deployments  # noqa: PLC0415

        with terminal.quiet_ending():
            raise SystemExit(deployments.deploy(service, app, rollback_to))
    paths = resolve_paths()
    with terminal.quiet_ending(), opened_store() as store:
        target = management.find_app(store, app)
        row = request_deployment(store, load_settings(), target, user_name(), rollback_to)
        note_change(store)
        with Screen(f"Deployment {row.id} of {target.name}") as screen:
            try:
                end = follow(store, paths, row, screen)
            except KeyboardInterrupt:
                screen.note(f"Deployment {row.id} continues; `mist cancel {row.id}` cancels it.")
                raise
    if end.status != "success":
        raise SystemExit(Exit.FAILURE)


class Screen:
    """Print log lines above a progress bar, or without a terminal print each status as a line."""

    def __init__(self, title: str) -> None:
        self._console = Console(soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),  # a name is data
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,  # a file gets a line per status instead
        )
        self._task = self._bar.add_task("Queued", total=100)
        self._said = ""
        self._print(Text(visible(title), style="bold"))

    def __enter__(self) -> Screen:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def line(self, text: str) -> None:
        """Print a line of the log in its own colours."""
        self._print(Text.from_ansi(coloured(text)))

    def status(self, status: DeploymentStatus) -> None:
        """Show the progress of the deployment."""
        self._bar.update(self._task, completed=status.progress, description=visible(status.message))
        text = visible(status.error_message or status.message)
        # The bar shows the other statuses; the final one has to remain above it.
        if text != self._said and (self._bar.disable or status.status in ("success", "failed")):
            style = {"failed": "red", "success": "green"}.get(status.status, "dim")
            self._print(Text(f"[{status.progress:3} %] {text}", style=style))
        self._said = text

    def note(self, text: str) -> None:
        """Print a message of the command itself."""
        self._print(Text(visible(text), style="yellow"))

    def _print(self, text: Text) -> None:
        # Without a terminal there is no width at which to wrap a line.
        self._console.print(text, soft_wrap=True)


def follow(store: Store, paths: Paths, row: Deployment, screen: Screen) -> DeploymentStatus:
    """Print the log as it grows; return the last status, which tells how it ended."""
    reader = Reader(paths.deployment_log(row.id))
    asked = Patience(paths, screen)
    look_at_row = 0.0
    last = _status(row)
    while True:
        last = _show(reader, screen, last)
        if reader.finished:
            return last
        if time.monotonic() >= look_at_row:
            look_at_row = time.monotonic() + _ROW_SECONDS
            now = store.deployments.get(row.id)
            if now is None:
                raise NotFound(f"deployment {row.id} was removed with its application")
            if now.finished:
                # The runner writes the log before the row, so the log is complete now.
                last = _show(reader, screen, last)
                # A runner that was killed leaves a log without an end.
                return last if reader.finished else _show_end(now, screen)
            if reader.line == 0:  # still in the queue, so the file does not exist
                screen.status(_status(now))
                asked.wait()
        # Polling needs no bus, so a deployment can be followed while the broker is down.
        time.sleep(_LOOK_SECONDS)


class Patience:
    """Report once, after some time in the queue, that the service is not running."""

    def __init__(self, paths: Paths, screen: Screen) -> None:
        self._where = paths
        self._screen = screen
        self._until = time.monotonic() + _PATIENCE_SECONDS
        self._asked = False

    def wait(self) -> None:
        """Check the time, and once it is due, the service."""
        if self._asked or time.monotonic() < self._until:
            return
        self._asked = True
        if not service_runs(self._where):
            self._screen.note("Mist is not running; the deployment starts once `mist up` does.")


def service_runs(paths: Paths) -> bool:
    """Return True if the supervisor answers."""
    # Imported here, because following a deployment that starts at once does not need it.
    from supervisor.control import ask_status  # noqa: PLC0415

    with terminal.bus_context() as context:
        try:
            ask_status(context, paths)
        except BusError:
            return False
    return True


def _show(reader: Reader, screen: Screen, last: DeploymentStatus) -> DeploymentStatus:
    """Print new records; return the newest status, or ``last`` if there is none."""
    while body := reader.read():
        for record in body.split(b"\n"):
            status = status_of(record)
            text = None if status else text_of(record)
            if status is not None:
                last = status
                screen.status(status)
            elif text is not None:
                screen.line(text)
    return last


def _show_end(row: Deployment, screen: Screen) -> DeploymentStatus:
    """Print the end of a deployment from its row, because the log lacks it."""
    status = _status(row)
    screen.status(status)
    return status


def _status(row: Deployment) -> DeploymentStatus:
    status = status_of(closing_records(row)[0])
    assert status is not None
    return status
