"""The connection to the database, and what its errors mean to whoever runs the service."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Dialect, Engine, Table, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from mist.errors import AlreadyExists, StoreError, StoreFull
from mist.store import location

#: What to do about SQLite's own words (https://www.sqlite.org/rescode.html).
_ADVICE: Final = (
    ("disk is full", "the disk is full; free some space on it"),
    ("readonly database", "it may not be written; give this user the right to write to it"),
    ("unable to open", "it cannot be opened; is its directory there, and may this user use it?"),
    ("not a database", "the file is no SQLite database; move it away or name another"),
    ("malformed", "the file is damaged; restore it from a backup"),
    ("is locked", "another process holds it for too long; try again"),
    ("disk I/O error", "the disk does not read or write; look at the kernel's log"),
    ("no such table", "it has no tables yet; start `mist up` once, which makes them"),
)


#: How often a writer looks whether the lock is free; another one holds it for about as long.
_LOCK_POLL_SECONDS: Final = 0.002


class Database:
    """One database; connections are made when they are needed, so never before a fork."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads: it waits for no writer."""
        with self._transaction(write=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: it takes SQLite's lock at its start.

        Taking it later, after a read, could fail at once instead of waiting.
        """
        with self._transaction(write=True) as connection:
            yield connection

    @staticmethod
    def insert(connection: Connection, table: Table, **values: object) -> int:
        """Add one row, and return the id that it was given."""
        key = connection.execute(table.insert().values(**values)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def close(self) -> None:
        """Give the connections back to the system."""
        self.engine.dispose()

    @contextmanager
    def _transaction(self, write: bool) -> Iterator[Connection]:
        try:
            with self.engine.connect() as plain:
                connection = plain.execution_options(mist_write=write)
                with connection.begin():
                    yield connection
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            if isinstance(error, IntegrityError) and _is_duplicate(error):
                raise AlreadyExists(f"that is there already: {error.orig}") from None
            words = explain(error)
            kind = StoreFull if "disk is full" in words else StoreError
            raise kind(f"the store {self.name} fails: {words}") from error


def connect(url: str, file: Path, busy_seconds: float) -> Database:
    """The database that ``url`` names, or the SQLite file; StoreError for a wrong URL.

    Its errors do not show what was to be written, which may be secret.
    """
    target = _parse(url) if url else URL.create("sqlite", database=str(file))
    try:
        if target.get_backend_name() == "sqlite":
            return Database(_sqlite(target, busy_seconds))
        return Database(create_engine(target, hide_parameters=True, pool_pre_ping=True))
    except (SQLAlchemyError, ImportError) as error:
        raise StoreError(
            f"store.url {target.render_as_string(hide_password=True)!r} cannot be used: {error}"
        ) from None


def explain(error: Exception) -> str:
    """The database's words with ours, which say what to do."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    text = str(cause).strip().split("\n")[0] or type(cause).__name__
    for words, advice in _ADVICE:
        if words in text:
            return f"{advice} ({text})"
    return text


def create_file(engine: Engine) -> None:
    """Make the SQLite file if there is none; other databases are made by their operators."""
    file = _file(engine.url)
    if file is not None:
        location.create(file)


def _file(url: URL) -> Path | None:
    """Return the file of a SQLite database, or None if it has none."""
    name = url.database
    in_memory = not name or name.startswith((":memory:", "file:"))
    return None if url.get_backend_name() != "sqlite" or in_memory else Path(str(name))


def _is_duplicate(error: IntegrityError) -> bool:
    """Whether a unique value was there already, by SQLite's word or PostgreSQL's (23505)."""
    cause = error.orig
    codes = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
    if isinstance(cause, sqlite3.Error):
        return cause.sqlite_errorcode in codes
    return "23505" in (getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None))


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise StoreError(
            "store.url is no database URL; leave it empty for SQLite in MIST_HOME, "
            "or write one such as postgresql+psycopg://mist:secret@localhost/mist"
        ) from None


def _sqlite(url: URL, busy_seconds: float) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": busy_seconds})
    file = _file(url)

    def find(_dialect: Dialect, _record: object, names: list[Any], options: dict[str, Any]) -> None:
        if file is not None:
            location.check(file)
            # Opening makes no database (https://www.sqlite.org/uri.html, "mode").
            names[:] = [f"file:{quote(str(file))}?mode=rw"]
            options["uri"] = True

    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        # The driver must not begin transactions by itself; ``begin`` below does.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    def begin(connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        if connection.get_execution_options().get("mist_write", False):
            _begin_immediate(driver, busy_seconds)
        else:
            driver.execute("BEGIN")

    _listen(engine, "do_connect", find)
    _listen(engine, "connect", prepare)
    _listen(engine, "begin", begin)
    return engine


def _begin_immediate(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Take the lock for writing, and wait for it here instead of within SQLite.

    SQLite would sleep in C, and with it everything that a gunicorn worker
    streams meanwhile; Python's sleep lets gevent go on with the others.
    """
    deadline = time.monotonic() + busy_seconds
    connection.execute("PRAGMA busy_timeout = 0").close()
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(_LOCK_POLL_SECONDS)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}").close()


def _listen(engine: Engine, name: str, function: Any) -> None:
    event.listen(engine, name, function)
