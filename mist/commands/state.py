"""The store of this machine, opened for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mist import paths, settings
from mist.store import Store, open_store


@contextmanager
def opened_store() -> Iterator[Store]:
    """The store that the settings name, its tables made if they are not there yet."""
    store = open_store(settings.load(), paths.resolve())
    try:
        store.migrate()
        yield store
    finally:
        store.close()
