"""Open this machine's store for a command, and record what it changes."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from mist.paths import resolve_paths
from mist.settings import load_settings
from mist.store import Store, location, open_store


@contextmanager
def opened_store() -> Iterator[Store]:
    """Yield the store named in the settings, migrated to this program's schema."""
    settings, paths = load_settings(), resolve_paths()
    if not settings.store.url:
        location.move_unless_in_use(paths)  # from where an earlier version had it
    store = open_store(settings, paths)
    try:
        store.migrate()  # a command may come before the first `mist up`
        yield store
    finally:
        store.close()


def note_change(store: Store) -> None:
    """Record the change that this command has just made, with its arguments but no options.

    Options may be secrets, such as the values of an environment.
    """
    context = click.get_current_context()
    given = [
        str(context.params.get(parameter.name or ""))
        for parameter in context.command.params
        if isinstance(parameter, click.Argument)
    ]
    # Who became root to run the command is more telling than root.
    by = os.environ.get("SUDO_USER") or getpass.getuser()
    keep = load_settings().audit.records
    store.audit.add(by, "", context.command_path, " ".join(given), keep=keep)
