"""``mist app adopt``: let a deployment replace a container that Mist did not create."""

from __future__ import annotations

import click

from cli import terminal
from cli.apps import opened_apps
from cli.remote.choice import remotely
from mist.adoptable import Adoptable
from mist.errors import Exit
from mist.visible import visible


@click.command()
@click.argument("app")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@remotely
def adopt(app: str, yes: bool) -> None:
    """Let the next deployment of APP (a name or an id) replace a container it did not create.

    This is the container with the application's container name.  The command first shows
    its image, ports, mounts and limits, and which of them the new container will lack.
    """
    with opened_apps() as apps:
        target = apps.find(app)
        found = apps.adoptable(target)
        terminal.say(f"The next deployment of {target.name} replaces this container:\n")
        terminal.say(f"  {target.container} ({found.container_id[:12]}, {found.state})")
        _show(found)
        if not yes and not terminal.confirmed("Adopt it?"):
            terminal.say("Nothing was changed; use --yes to adopt it without confirmation.")
            raise SystemExit(Exit.FAILURE)
        apps.adopt(target, found)
    terminal.say(f"Adopted; `mist deploy {target.name}` will replace it.")


def _show(found: Adoptable) -> None:
    width = max((len(visible(fact.now)) for fact in found.facts), default=0)
    for fact in found.facts:
        terminal.say(f"  {fact.what:<9}{visible(fact.now):<{width}}  {fact.then}")
    for note in found.notes:
        terminal.say(f"\n{note}")
    terminal.say()
