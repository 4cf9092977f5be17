"""A real store in a directory of its own, and users for it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from mist.accounts import passwords
from mist.paths import Paths
from mist.settings import Settings
from mist.store import Role, Store, User, location, open_store

PASSWORD = "correct horse"


@contextmanager
def opened(directory: Path, settings: Settings | None = None) -> Iterator[Store]:
    """Open a store with its tables, copied from a template."""
    file = Paths(directory, directory).database
    location.create(file)
    shutil.copyfile(_template(), file)
    store = open_store(settings or Settings(), Paths(directory, directory))
    try:
        yield store
    finally:
        store.close()


@cache
def _template() -> Path:
    """Return the path of an empty store's database, closed so that its log is merged."""
    directory = Path(tempfile.mkdtemp(prefix="mist-store-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    store = open_store(Settings(), Paths(directory, directory))
    store.migrate()
    store.close()
    return Paths(directory, directory).database


@cache
def password_hash() -> str:
    """Return the hash of PASSWORD, computed once because it takes a tenth of a second."""
    return passwords.make_hash(PASSWORD)


def add_user(store: Store, email: str, role: Role = "user") -> User:
    """Add a user whose password is PASSWORD."""
    return store.users.add(email, password_hash(), role)
