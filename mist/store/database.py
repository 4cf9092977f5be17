"""The database connection, and explanations of database errors for operators."""

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

# Advice for SQLite's error texts (https://www.sqlite.org/rescode.html).
_ADVICE: Final = (
    ("disk is full", "the disk is full; free some space"),
    ("readonly database", "the database is read-only; give this user write access"),
    ("unable to open", "it cannot be opened; check that its directory exists and is accessible"),
    ("not a database", "the file is not an SQLite database; move it away or name another one"),
    ("malformed", "the file is damaged; restore it from a backup"),
    ("is locked", "another process has held the lock for too long; try again"),
    ("disk I/O error", "the disk failed to read or write; check the kernel log"),
    ("no such table", "it has no tables yet; start `mist up` once to create them"),
)


# How often a writer retries the lock; other writers hold it for about as long.
_LOCK_POLL_SECONDS: Final = 0.002


class Database:
    """A database whose connections are opened on first use, so never before a fork."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read-only transaction, which does not wait for writers."""
        with self._transaction(write=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that takes SQLite's write lock at its start.

        Upgrading a read transaction could fail at once with SQLITE_BUSY instead of waiting
        (https://www.sqlite.org/lang_transaction.html).
        """
        with self._transaction(write=True) as connection:
            yield connection

    @staticmethod
    def insert(connection: Connection, table: Table, **values: object) -> int:
        """Insert one row and return its new id."""
        key = connection.execute(table.insert().values(**values)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def close(self) -> None:
        """Close all pooled connections."""
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
                raise AlreadyExists(f"the value already exists: {error.orig}") from None
            words = explain(error)
            kind = StoreFull if "disk is full" in words else StoreError
            # A separate class for a full disk, which HTTP reports with status 507.
            raise kind(f"the store {self.name} failed: {words}") from error


def connect(url: str, file: Path, busy_seconds: float) -> Database:
    """Return the database at ``url``, or the SQLite file; raise StoreError for a bad URL.

    Error texts omit the values that were to be written, which may be secret.
    """
    target = _parse(url) if url else URL.create("sqlite", database=str(file))
    try:
        if target.get_backend_name() == "sqlite":
            return Database(_sqlite(target, busy_seconds))
        # Ping, because a database server closes idle connections.
        return Database(create_engine(target, hide_parameters=True, pool_pre_ping=True))
    except (SQLAlchemyError, ImportError) as error:
        raise StoreError(
            f"store.url {target.render_as_string(hide_password=True)!r} cannot be used: {error}"
        ) from None


def explain(error: Exception) -> str:
    """Return the database's error text together with advice on what to do."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    text = str(cause).strip().split("\n")[0] or type(cause).__name__
    # "disk I/O error" here means that there is no room for the memory that connections share.
    if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_SHMSIZE:
        text = "database or disk is full"
    for words, advice in _ADVICE:
        if words in text:
            return f"{advice} ({text})"
    return text


def create_file(engine: Engine) -> None:
    """Create the SQLite file if it is missing; operators create other databases themselves."""
    file = _file(engine.url)
    if file is not None:
        location.create(file)


def _file(url: URL) -> Path | None:
    """Return the path of a SQLite database; None for other databases and in-memory ones."""
    name = url.database
    in_memory = not name or name.startswith((":memory:", "file:"))
    return None if url.get_backend_name() != "sqlite" or in_memory else Path(str(name))


def _is_duplicate(error: IntegrityError) -> bool:
    """Return True if a unique value already exists, as SQLite or PostgreSQL (23505) reports it."""
    cause = error.orig
    codes = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
    # Not SQLITE_CONSTRAINT alone, which also covers foreign keys and CHECK.
    if isinstance(cause, sqlite3.Error):
        return cause.sqlite_errorcode in codes
    return "23505" in (getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None))


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise StoreError(
            "store.url is not a database URL; leave it empty for SQLite in MIST_HOME, "
            "or write one such as postgresql+psycopg://mist:secret@localhost/mist"
        ) from None


def _sqlite(url: URL, busy_seconds: float) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": busy_seconds})
    file = _file(url)

    def find(_dialect: Dialect, _record: object, names: list[Any], options: dict[str, Any]) -> None:
        if file is not None:
            location.check(file)
            # ``mode=rw`` never creates a database (https://www.sqlite.org/uri.html).
            names[:] = [f"file:{quote(str(file))}?mode=rw"]
            options["uri"] = True

    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        # The driver must not start transactions by itself; ``begin`` below does.
        connection.isolation_level = None
        # WAL: readers do not wait for the writer. NORMAL is safe with it. Foreign keys are off by
        # default (https://www.sqlite.org/pragma.html).
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
    """Take the write lock, waiting for it here instead of inside SQLite.

    SQLite would sleep in C and stop every stream of a gunicorn worker; Python's sleep
    lets gevent run other greenlets.
    """
    deadline = time.monotonic() + busy_seconds
    connection.execute("PRAGMA busy_timeout = 0").close()
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                # SQLITE_LOCKED and others do not go away by waiting.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(_LOCK_POLL_SECONDS)
    finally:
        # Readers may wait inside SQLite again.
        connection.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}").close()


def _listen(engine: Engine, name: str, function: Any) -> None:
    event.listen(engine, name, function)
