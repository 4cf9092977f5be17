"""``mist supervisor``: run the service without its web tier, for a service manager."""

from __future__ import annotations

import click

from cli.up import warn_without_engine
from mist.accounts.secret import load_or_create
from mist.paths import resolve_paths
from mist.settings import load_settings
from mist.store import Store
from supervisor.main import serve


@click.command("supervisor")
def command() -> None:
    """Run everything but the web tier, which has its own unit under systemd."""
    settings, paths = load_settings(), resolve_paths()

    def before(_store: Store) -> None:
        # The web tier only reads the key.
        load_or_create(paths)
        warn_without_engine(settings)

    serve(settings, paths, before=before)
