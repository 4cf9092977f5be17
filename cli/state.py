"""Open this machine's store for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
