"""Tests of the database's location: owner, refusals, and the move from the old location."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mist.errors import StoreError
from mist.paths import Paths
from mist.settings import Settings
from mist.store import location, open_store
from tests.support.store import opened

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """The state of the previous version: a database with a user, directly in the home."""
    home = tmp_path / "home"
    home.mkdir()
    found = Paths(home, tmp_path / "run")
    with opened(home) as store:
        store.users.add("ada@example.com", "a hash")
    for file in found.database.parent.iterdir():
        file.rename(home / file.name)
    found.database.parent.rmdir()
    return found


def test_an_old_database_is_moved_with_its_rows(paths: Paths) -> None:
    """An old database is moved with its rows; a second move does nothing."""
    location.move_unless_in_use(paths)
    location.move_unless_in_use(paths)
    store = open_store(Settings(), paths)
    assert [user.email for user in store.users.all()] == ["ada@example.com"]
    store.close()
    assert not list(paths.home.glob("mist.db*"))


def test_a_move_that_was_interrupted_goes_on(paths: Paths) -> None:
    """A move that was interrupted after the write-ahead log is completed."""
    (paths.home / "mist.db-wal").touch()
    paths.database.parent.mkdir()
    (paths.home / "mist.db-wal").rename(paths.database.with_name("mist.db-wal"))
    location.move_unless_in_use(paths)
    assert paths.database.exists()


def test_nothing_is_moved_under_a_service_that_runs(paths: Paths) -> None:
    """Under a running service nothing is moved, and no second store is made."""
    with paths.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="restart it first"):
            location.move_unless_in_use(paths)
    assert paths.old_database.exists()
    assert not paths.database.exists()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_link_is_not_moved(paths: Paths, tmp_path: Path, suffix: str) -> None:
    """A symbolic link is not moved, because it could lead anywhere."""
    link = paths.old_database.with_name(f"mist.db{suffix}")
    if link.exists():
        link.rename(tmp_path / "aside")
    link.symlink_to(paths.old_database if suffix else tmp_path / "aside")
    with pytest.raises(StoreError, match="symbolic link"):
        location.move_unless_in_use(paths)


def test_a_link_in_the_place_of_the_database_is_refused(tmp_path: Path) -> None:
    """A symbolic link in the database's place is refused by creation and opening."""
    victim = tmp_path / "victim"
    victim.touch()
    paths = Paths(tmp_path / "home", tmp_path)
    location.make_folder(paths.database.parent)
    paths.database.symlink_to(victim)
    with pytest.raises(StoreError, match="not a regular file"):
        open_store(Settings(), paths).migrate()
    assert victim.read_bytes() == b""


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A symbolic link in the folder's place is refused, because it could lead anywhere."""
    paths = Paths(tmp_path / "home", tmp_path)
    paths.home.mkdir()
    (tmp_path / "elsewhere").mkdir()
    paths.database.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="not a directory"):
        open_store(Settings(), paths).migrate()


@ROOT
def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    """A store made by root belongs to its folder's owner, so that the service can write to it."""
    paths = Paths(tmp_path / "home", tmp_path)
    paths.home.mkdir(mode=0o750)
    os.chown(paths.home, 12345, 12346)
    store = open_store(Settings(), paths)
    store.migrate()
    store.users.add("ada@example.com", "a hash")
    for path in (paths.database.parent, *paths.database.parent.iterdir()):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (12345, 12346), path
        assert status.st_mode & stat.S_IWGRP, path
    store.close()


@ROOT
def test_a_link_in_the_place_of_the_lock_gives_nothing_away(paths: Paths, tmp_path: Path) -> None:
    """A symbolic link planted in the lock's place does not give away a file of root's."""
    victim = tmp_path / "victim"
    victim.write_text("of root")
    os.chown(paths.home, 12345, 12346)
    paths.lock.symlink_to(victim)
    with pytest.raises(StoreError, match="cannot be opened"):
        location.move_unless_in_use(paths)
    assert (victim.stat().st_uid, victim.stat().st_gid) == (0, 0)
    assert paths.old_database.exists()


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o400])
def test_a_restored_database_has_its_mode_again(tmp_path: Path, mode: int) -> None:
    """A restored database gets its mode again, as do SQLite's files next to it."""
    with opened(tmp_path):
        pass
    database = Paths(tmp_path, tmp_path).database
    files = [database.with_name(f"mist.db{suffix}") for suffix in ("", "-wal", "-shm")]
    for file in files:
        file.touch()
        file.chmod(mode)
    location.create(database)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o660}


@ROOT
def test_a_database_that_root_restored_has_its_owner_again(tmp_path: Path) -> None:
    """A database that root restored gets its folder's owner; another owner stays."""
    with opened(tmp_path):
        pass
    database = Paths(tmp_path, tmp_path).database
    os.chown(database.parent, 12345, 12346)
    for before, after in ((0, 12345), (54321, 54321)):
        os.chown(database, before, 0)
        location.create(database)
        assert database.stat().st_uid == after


@ROOT
def test_a_file_with_a_second_name_is_left_alone(tmp_path: Path) -> None:
    """A file with several hard links is left alone, because it may be root's."""
    victim = tmp_path / "victim"
    victim.touch(mode=0o600)
    database = Paths(tmp_path, tmp_path).database
    location.create(database)
    os.chown(database.parent, 12345, 12346)
    database.with_name("mist.db-wal").hardlink_to(victim)
    location.create(database)
    assert (victim.stat().st_uid, stat.S_IMODE(victim.stat().st_mode)) == (0, 0o600)


@pytest.mark.parametrize("move", [location.move, location.move_unless_in_use])
def test_two_stores_are_refused(paths: Paths, move: Callable[[Paths], None]) -> None:
    """Two stores are refused with a message that tells them apart, and both stay."""
    location.create(paths.database)
    match = rf"{paths.old_database} from an earlier version.*{paths.database} from this one.*move"
    with pytest.raises(StoreError, match=match):
        move(paths)
    assert paths.old_database.exists()


@pytest.mark.parametrize("name", ["home", "a ho?me#1%20"])
def test_opening_makes_no_store(tmp_path: Path, name: str) -> None:
    """Opening does not make a store; only migrate() does."""
    paths = Paths(tmp_path / name, tmp_path)
    paths.database.parent.mkdir(parents=True)
    store = open_store(Settings(), paths)
    for call in (store.check, store.users.all):
        with pytest.raises(StoreError, match="does not exist"):
            call()
    assert not list(paths.database.parent.iterdir())
    store.migrate()
    store.check()
    assert paths.database.exists()
    store.close()
