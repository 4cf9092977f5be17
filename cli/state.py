"""Open this machine's store for a command, and record what it changes."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.core import ParameterSource

from mist.paths import resolve_paths
from mist.settings import load_settings
from mist.store import Store, location, open_store
from mist.visible import visible


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


def user_name() -> str:
    """Return the name of the user who runs this command, for a record."""
    try:
        return visible(getpass.getuser())
    except (KeyError, OSError):  # neither a variable nor an entry in /etc/passwd has it
        return str(os.getuid())


def note_change(store: Store) -> None:
    """Record the change that this command has just made: its arguments and its options.

    The values of options are left out, because they may be secrets, such as an environment.
    """
    context = click.get_current_context()
    given = [word for each in context.command.params for word in _words(context, each)]
    # Who became root to run the command is more telling than root.
    by = visible(os.environ.get("SUDO_USER", "")) or user_name()
    keep = load_settings().audit.records
    store.audit.add(by, "", context.command_path, " ".join(given), keep=keep)


def _words(context: click.Context, parameter: click.Parameter) -> list[str]:
    """Return what a record says about an argument, or about an option that was given."""
    name = parameter.name or ""
    value = context.params.get(name)
    if isinstance(parameter, click.Argument):
        return [str(value)]
    if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
        return []
    # One of a few words, such as a right, is no secret.
    words = value if isinstance(value, tuple) else (value,)
    shown = words if isinstance(parameter.type, click.Choice) else ()
    return [parameter.opts[0], *map(str, shown)]
