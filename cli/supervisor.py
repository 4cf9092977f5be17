"""``mist supervisor``: the service without its web tier, for a service manager."""

from __future__ import annotations

import click

from cli.up import warn_without_engine
from mist import paths, settings
from mist.accounts.secret import load_or_create
from mist.store import Store
from supervisor.main import serve


@click.command("supervisor")
def command() -> None:
    """Run everything but the web tier, which is a unit of its own under systemd."""
    limits, where = settings.load(), paths.resolve()

    def before(_store: Store) -> None:
        load_or_create(where)
        warn_without_engine(limits)

    serve(limits, where, before=before)
