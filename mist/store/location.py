"""The SQLite file: made with the right owner and mode, and moved from its old place.

The folder of the database is the only one that the web tier's user may write
to, so nothing in it is trusted: a link or a file of an unexpected kind in the
place of the database is refused.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from mist.errors import StoreError
from mist.paths import Paths, owner_of_new

_MODE: Final = 0o660
#: The group keeps its right to what anybody makes in the folder.
_FOLDER_MODE: Final = 0o2770

#: SQLite's own files beside the database.  The database is moved last, so that a move
#: that was interrupted goes on.
_SUFFIXES: Final = ("-wal", "-shm", "")


def create(path: Path) -> None:
    """Make the file, for its group to write, which SQLite's own files then follow.

    The web tier runs as another user of the same group, and even readers of a
    database in WAL mode write to the file next to it.
    """
    try:
        make_folder(path.parent)
        _check(path, path.parent, stat.S_ISDIR)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _MODE))
        for suffix in _SUFFIXES:
            _settle(path.with_name(path.name + suffix))
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be made: {error.strerror}; run this as the user "
            "that the service runs as, or set MIST_HOME to another directory"
        ) from None


def check(path: Path) -> None:
    """Raise StoreError if ``path`` or its folder is not what :func:`create` makes."""
    try:
        _check(path, path.parent, stat.S_ISDIR)
        _check(path, path, stat.S_ISREG)
    except FileNotFoundError:
        raise StoreError(
            f"there is no store {path}; start `mist up` once, which makes it"
        ) from None
    except OSError:
        return  # SQLite's own words say more


def _check(database: Path, place: Path, is_kind: Callable[[int], bool]) -> None:
    if not is_kind(place.lstat().st_mode):
        what = "a regular file" if place == database else "a directory"
        raise StoreError(
            f"the store {database} is refused: {place} is not {what}; move it away and restore "
            "the database from a backup"
        )


def _settle(file: Path) -> None:
    """Give a file its mode, and one of root's the owner of its folder; what is missing is fine.

    The operator may have restored it from a backup.  A file with a second name
    is left alone: that name may be one in a folder of somebody else.
    """
    try:
        # Closing a mere path (O_PATH) releases none of the locks that SQLite holds on the file.
        descriptor = os.open(file, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        status, user = os.fstat(descriptor), os.geteuid()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return
        if user == status.st_uid == 0:
            os.chown(f"/proc/self/fd/{descriptor}", *owner_of_new(file.parent))
        if user in {0, status.st_uid} and stat.S_IMODE(status.st_mode) != _MODE:
            os.chmod(f"/proc/self/fd/{descriptor}", _MODE)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make the folder with its mode if it is missing; OSError if that cannot be."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        folder.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o770)
    except FileExistsError:
        return
    os.chown(folder, *owner_of_new(folder.parent))
    folder.chmod(_FOLDER_MODE)


def move(paths: Paths) -> None:
    """Move a database of the last version into its folder; nothing happens without one.

    The caller holds the supervisor's lock.
    """
    if not _has_old(paths):
        return
    old, new = paths.old_database, paths.database
    try:
        make_folder(new.parent)
        for suffix in _SUFFIXES:
            source = old.with_name(old.name + suffix)
            if source.is_symlink():
                raise StoreError(f"{source} is a symbolic link: refused; put the file itself there")
            if source.exists():
                source.rename(new.with_name(new.name + suffix))
        os.chown(new, *owner_of_new(new.parent), follow_symlinks=False)
    except OSError as error:
        raise StoreError(
            f"the store cannot be moved from {old} to {new}: {error.strerror}; run this as the "
            "user that the service runs as"
        ) from None


def _has_old(paths: Paths) -> bool:
    """Return True if there is a database to move; StoreError if there is one in both places."""
    # The new place first: in the other order a move meanwhile would show one database in both.
    new, old = os.path.lexists(paths.database), os.path.lexists(paths.old_database)
    if old and new:
        raise StoreError(
            f"there are two stores: {paths.old_database} is where the last version had it, "
            f"{paths.database} is where this version has it; stop the service and move away "
            "the one that is not to be used, with its -wal and -shm files"
        )
    return old


def move_unless_in_use(paths: Paths) -> None:
    """Move like :func:`move`, for a command; StoreError while an old service runs."""
    if not _has_old(paths):
        return
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(paths.lock, flags, 0o600)
    except OSError as error:
        raise StoreError(
            f"the store {paths.old_database} is to be moved, and {paths.lock} cannot be opened: "
            f"{error.strerror}; run this as the user that the service runs as"
        ) from None
    try:
        os.fchown(descriptor, *owner_of_new(paths.home))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        move(paths)
    except BlockingIOError:
        raise StoreError(
            "the service that runs is of an older version than this command; restart it first"
        ) from None
    finally:
        os.close(descriptor)
