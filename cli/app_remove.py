"""``mist app remove``: ask the service to remove an application, and wait until it has."""

from __future__ import annotations

import time
from typing import Final

import click

from cli import terminal
from cli.apps import Apps, opened_apps
from cli.remote.choice import remotely
from mist.apps.management import PublicApp
from mist.errors import Exit

# The time until the application is looked for again, in seconds; it grows.
_LOOK_SECONDS: Final = 0.2
_MAX_LOOK_SECONDS: Final = 2.0
# After this long, the command checks whether the service is running.
_PATIENCE_SECONDS: Final = 3.0


@click.command()
@click.argument("app")
@click.option("--yes", is_flag=True, help="Do not ask.")
@remotely
def remove(app: str, yes: bool) -> None:
    """Remove APP with its container, images, deployments, their logs, and grants.

    Volumes are kept, and so is a container that no deployment made.  A running deployment
    is cancelled first.  The service does the work; Ctrl-C only stops waiting for it.
    """
    with terminal.quiet_ending(), opened_apps() as apps:
        found = apps.find(app)
        if not yes and not _confirmed(apps, found):
            terminal.say("Nothing was removed; use --yes to remove it without confirmation.")
            raise SystemExit(Exit.FAILURE)
        apps.request_removal(found)
        try:
            _wait(apps, found)
        except KeyboardInterrupt:
            terminal.note(f"The removal of {found.name} continues.")
            raise
    terminal.say(f"Removed {found.name}.")


def _confirmed(apps: Apps, app: PublicApp) -> bool:
    count = apps.count_deployments(app)
    terminal.say(
        f"This removes {app.name}, its deployments ({count}) with their logs and images, its "
        f"grants,\nand the container {app.container} if a deployment made it. Volumes are kept."
    )
    return terminal.confirmed(f"Remove {app.name}?")


def _wait(apps: Apps, app: PublicApp) -> None:
    """Return once the application is gone; say what the removal waits for."""
    told, pause = "", _LOOK_SECONDS
    check_at = time.monotonic() + _PATIENCE_SECONDS
    while (now := apps.look(app)) is not None:
        if now.removal_problem != told:
            told = now.removal_problem
            terminal.note(told)
        if time.monotonic() >= check_at:
            check_at = float("inf")
            if not apps.service_runs():
                terminal.note(f"Mist is not running; {app.name} is removed once `mist up` does.")
                raise SystemExit(Exit.TEMPORARY)
        time.sleep(pause)
        pause = min(pause * 1.2, _MAX_LOOK_SECONDS)
