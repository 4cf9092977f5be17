"""A real store in a directory of its own, and people to put into it."""

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
    """A store with its tables, copied from one that was made once."""
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
    """The database file of an empty store; its log is part of it once it is closed."""
    directory = Path(tempfile.mkdtemp(prefix="mist-store-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    store = open_store(Settings(), Paths(directory, directory))
    store.migrate()
    store.close()
    return Paths(directory, directory).database


@cache
def password_hash() -> str:
    """The hash of PASSWORD, made once: it costs a tenth of a second."""
    return passwords.make_hash(PASSWORD)


def add_user(store: Store, email: str, role: Role = "user") -> User:
    """A user whose password is PASSWORD."""
    return store.users.add(email, password_hash(), role)
