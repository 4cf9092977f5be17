"""The store of this machine, opened for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mist import paths, settings
from mist.store import Store, location, open_store


@contextmanager
def opened_store() -> Iterator[Store]:
    """The store that the settings name, its tables made if they are not there yet."""
    limits, where = settings.load(), paths.resolve()
    if not limits.store.url:
        location.move_unless_in_use(where)
    store = open_store(limits, where)
    try:
        store.migrate()
        yield store
    finally:
        store.close()
