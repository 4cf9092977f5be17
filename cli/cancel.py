"""``mist cancel``: request the end of a deployment."""

from __future__ import annotations

import click

from cli import terminal
from cli.remote.choice import chosen_service, remotely
from cli.state import note_change, opened_store, user_name
from mist.errors import Conflict, NotFound
from mist.ids import MAX_ID


@click.command("cancel")
@click.argument("deployment", type=click.IntRange(1, MAX_ID))
@remotely
def command(deployment: int) -> None:
    """Cancel DEPLOYMENT (its number); it fails, and the previous container keeps running."""
    if (service := chosen_service()) is not None:
        from cli.remote import deployments  # noqa: PLC0415

        deployments.cancel(service, deployment)
        return
    with opened_store() as store:
        if not store.deployments.request_cancel(deployment, user_name()):
            # request_cancel() returns False in both cases.
            if store.deployments.get(deployment) is None:
                raise NotFound(f"there is no deployment {deployment}")
            raise Conflict(f"deployment {deployment} has already finished")
        note_change(store)
    terminal.say(f"Deployment {deployment} is being cancelled.")
