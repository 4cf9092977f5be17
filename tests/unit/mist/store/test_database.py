"""Tests of unusable databases: each error says what to do."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import traceback
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event

from mist.errors import StoreError, StoreFull
from mist.paths import Paths
from mist.settings import Settings, StoreSettings
from mist.store import Store, database, open_store


def _settings(**fields: object) -> Settings:
    return Settings(store=msgspec.convert(fields, StoreSettings))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "is not a database URL"),
        ("nobase://host/db", "cannot be used: Can't load plugin"),
        ("postgresql+nodriver://ada:hunter2@host/db", "cannot be used"),
    ],
)
def test_a_url_that_cannot_be_used(tmp_path: Path, url: str, words: str) -> None:
    """An invalid URL is reported without its password."""
    with pytest.raises(StoreError, match=words) as caught:
        open_store(_settings(url=url), Paths(tmp_path, tmp_path))
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A file that is not a database is not overwritten."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "mist.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match="move it away"):
        open_store(Settings(), Paths(tmp_path, tmp_path)).migrate()
    assert (tmp_path / "store" / "mist.db").read_bytes() == b"garbage" * 1000


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A directory that cannot be made, because a file is in its place, is reported."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        open_store(Settings(), Paths(tmp_path / "file" / "home", tmp_path)).migrate()


def test_a_full_disk(store: Store, tmp_path: Path) -> None:
    """On a full disk nothing is written partially, and existing rows can be read."""
    store.apps.add("before")
    data = database.connect("", tmp_path / "store" / "mist.db", 1)

    @event.listens_for(data.engine, "connect")
    def _limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    full = Store(data)
    with pytest.raises(StoreFull, match="free some space"):
        full.apps.add("after", env={"A": "x" * 100_000})
    assert [app.name for app in full.apps.all()] == ["before"]
    data.close()


def _add_read_only(directory: Path) -> None:
    """Exit with 7 if the store reports that it is read-only; runs as an unprivileged process."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    store = open_store(Settings(), Paths(directory, directory))
    try:
        store.apps.add("web")
    except StoreError as error:
        os._exit(7 if "give this user write access" in str(error) else 8)
    os._exit(0)


def test_a_disk_that_is_full_before_the_store_is_open() -> None:
    """SQLite calls it an I/O error if there is no room for its shared memory."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert "the disk is full; free some space" in database.explain(error)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_a_file_that_may_not_be_written(store: Store, tmp_path: Path) -> None:
    """A read-only file is reported as such to another user."""
    store.close()
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    (tmp_path / "store").chmod(0o755)
    for file in (tmp_path / "store").iterdir():
        file.chmod(0o644)
    process = multiprocessing.get_context("spawn").Process(target=_add_read_only, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == 7


def test_a_lock_that_is_held_for_too_long(store: Store, tmp_path: Path) -> None:
    """A writer waits for ``store.busy_seconds``; a reader does not wait."""
    holder = sqlite3.connect(tmp_path / "store" / "mist.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    hasty = open_store(_settings(busy_seconds=0.01), Paths(tmp_path, tmp_path))
    assert hasty.apps.all() == []
    with pytest.raises(StoreError, match="another process has held the lock"):
        hasty.apps.add("web")
    holder.execute("COMMIT")
    holder.close()
    assert hasty.apps.add("web").id == 1
    hasty.close()


_IN_GEVENT = """
from gevent import monkey; monkey.patch_all()
import sys, gevent
from pathlib import Path
from mist.errors import StoreError
from mist.paths import Paths
from mist.settings import Settings, StoreSettings
from mist.store import open_store
home = Path(sys.argv[1])
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0)
gevent.spawn(tick)
try:
    open_store(Settings(store=StoreSettings(busy_seconds=0.2)), Paths(home, home)).apps.add("web")
except StoreError:
    sys.exit(0 if ticks > 10 else 3)
sys.exit(4)
"""


def test_waiting_for_a_lock_does_not_stop_a_gevent_loop(store: Store, tmp_path: Path) -> None:
    """Waiting for a lock does not block other greenlets of a gunicorn worker."""
    holder = sqlite3.connect(tmp_path / "store" / "mist.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    command = [sys.executable, "-c", _IN_GEVENT, str(tmp_path)]
    done = subprocess.run(command, check=False, timeout=60)
    holder.close()
    assert done.returncode == 0


def test_the_file_is_for_its_group(store: Store, tmp_path: Path) -> None:
    """The file is accessible to its group, because the web tier is another user in it."""
    store.apps.add("web")
    modes = {
        file.name: stat.S_IMODE(file.stat().st_mode)
        for file in (tmp_path / "store").glob("mist.db*")
    }
    assert set(modes.values()) == {0o660}, modes


def test_a_failed_write_shows_no_values(store: Store, tmp_path: Path) -> None:
    """Neither the error nor its traceback shows the values, which may be secret."""
    with sqlite3.connect(tmp_path / "store" / "mist.db") as connection:
        connection.execute("DROP TABLE apps")
    with pytest.raises(StoreError) as caught:
        store.apps.add("shop", env={"KEY": "hunter" + str(2)})
    shown = "".join(traceback.format_exception(caught.value))
    assert "INSERT INTO apps" in shown
    assert "hunter2" not in shown


def test_writers_are_many(store: Store, tmp_path: Path) -> None:
    """Concurrent writers wait for each other."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_some, args=(tmp_path, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(store.apps.all()) == 60


def _write_some(directory: Path, number: int) -> None:
    store = open_store(Settings(), Paths(directory, directory))
    for each in range(20):
        store.apps.add(f"app-{number}-{each}")
