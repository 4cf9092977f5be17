"""``mist app remove``: ask the service to remove an application, and wait until it has."""

from __future__ import annotations

import getpass
import time
from typing import Final

import click

from cli import terminal
from cli.deploy import service_runs
from cli.state import note_change, opened_store
from mist.apps import management
from mist.errors import Exit
from mist.paths import Paths, resolve_paths
from mist.store import App, Store

# How often the row is read, in seconds.
_LOOK_SECONDS: Final = 0.2
# After this long, the command checks whether the service is running.
_PATIENCE_SECONDS: Final = 3.0


@click.command()
@click.argument("app")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(app: str, yes: bool) -> None:
    """Remove APP with its container, images, deployments, their logs, and grants.

    Volumes are kept, and so is a container that no deployment made.  A running deployment
    is cancelled first.  The service does the work; Ctrl-C only stops waiting for it.
    """
    with terminal.quiet_ending(), opened_store() as store:
        found = management.find_app(store, app)
        if not yes and not _confirmed(store, found):
            terminal.say("Nothing was removed; use --yes to remove it without confirmation.")
            raise SystemExit(Exit.FAILURE)
        store.apps.request_removal(found.id, getpass.getuser())
        note_change(store)
        try:
            _wait(store, resolve_paths(), found)
        except KeyboardInterrupt:
            terminal.note(f"The removal of {found.name} continues.")
            raise
    terminal.say(f"Removed {found.name}.")


def _confirmed(store: Store, app: App) -> bool:
    count = len(store.deployments.ids(app.id))
    terminal.say(
        f"This removes {app.name}, its {count} deployments with their logs and images, its "
        f"grants,\nand the container {app.container} if a deployment made it. Volumes are kept."
    )
    try:
        return click.confirm(f"Remove {app.name}?")
    except click.Abort:
        # Standard input has ended, so the question cannot be answered.
        terminal.say()
        return False


def _wait(store: Store, paths: Paths, app: App) -> None:
    """Return once the application is gone; say what the removal waits for."""
    told, check_at = "", time.monotonic() + _PATIENCE_SECONDS
    while (now := store.apps.get(app.id)) is not None:
        if now.removal_problem != told:
            told = now.removal_problem
            terminal.note(told)
        if time.monotonic() >= check_at:
            check_at = float("inf")
            if not service_runs(paths):
                terminal.note(f"Mist is not running; {app.name} is removed once `mist up` does.")
                raise SystemExit(Exit.TEMPORARY)
        time.sleep(_LOOK_SECONDS)
