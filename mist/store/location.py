"""The SQLite file: create it with the right owner and mode, and move it from its old location.

The database's directory is the only one that the web tier's user may write to, so its
contents are not trusted: a link or a file of an unexpected type is refused.
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
# Set-group-ID: files that any user creates in the directory keep its group.
_FOLDER_MODE: Final = 0o2770

# SQLite's auxiliary files.  The database itself moves last, so that an interrupted move
# is completed by the next one.
_SUFFIXES: Final = ("-wal", "-shm", "")


def create(path: Path) -> None:
    """Create the file with group write permission, which SQLite's auxiliary files inherit.

    The web tier runs as another user of the same group, and even readers of a database in
    WAL mode write to the ``-shm`` file.
    """
    try:
        make_folder(path.parent)
        _check(path, path.parent, stat.S_ISDIR)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _MODE))
        for suffix in _SUFFIXES:
            # A restored backup may lack the group's permissions.
            _set_access(path.with_name(path.name + suffix))
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be created: {error.strerror}; run this as the user "
            "that runs the service, or set MIST_HOME to another directory"
        ) from None


def check(path: Path) -> None:
    """Raise StoreError if ``path`` or its directory is not of the type that `create` makes."""
    try:
        _check(path, path.parent, stat.S_ISDIR)
        _check(path, path, stat.S_ISREG)
    except FileNotFoundError:
        raise StoreError(
            f"the store {path} does not exist; start `mist up` once to create it"
        ) from None
    except OSError:
        return  # SQLite's own error says more


def _check(database: Path, place: Path, is_kind: Callable[[int], bool]) -> None:
    if not is_kind(place.lstat().st_mode):
        what = "a regular file" if place == database else "a directory"
        raise StoreError(
            f"the store {database} is refused: {place} is not {what}; move it away and restore "
            "the database from a backup"
        )


def _set_access(file: Path) -> None:
    """Set the mode of ``file``, and give a file that root owns to the directory's owner.

    The operator may have restored it from a backup.  Skip a missing file, and one with a
    second hard link, which may lie in another user's directory.
    """
    try:
        # Closing an O_PATH descriptor does not drop SQLite's POSIX locks on the file (fcntl(2)).
        descriptor = os.open(file, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        status, user = os.fstat(descriptor), os.geteuid()
        # A planted link must not make root give another user's file away.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return
        if user == status.st_uid == 0:
            # fchown() rejects an O_PATH descriptor (open(2)); the path in /proc names the same
            # file.
            os.chown(f"/proc/self/fd/{descriptor}", *owner_of_new(file.parent))
        if user in {0, status.st_uid} and stat.S_IMODE(status.st_mode) != _MODE:
            os.chmod(f"/proc/self/fd/{descriptor}", _MODE)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create the directory with its mode if it is missing; raise OSError on failure."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        folder.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o770)
    except FileExistsError:
        return
    os.chown(folder, *owner_of_new(folder.parent))
    folder.chmod(_FOLDER_MODE)  # mkdir(2) ignores the set-group-ID bit and applies the umask


def move(paths: Paths) -> None:
    """Move the database of an earlier version into its directory, if there is one.

    The caller must hold the supervisor's lock.
    """
    if not _has_old(paths):
        return
    old, new = paths.old_database, paths.database
    try:
        make_folder(new.parent)
        for suffix in _SUFFIXES:
            source = old.with_name(old.name + suffix)
            if source.is_symlink():
                raise StoreError(f"{source} is a symbolic link; replace it with the file itself")
            if source.exists():
                source.rename(new.with_name(new.name + suffix))
        # Do not follow a link that the directory's owner put there after the rename.
        os.chown(new, *owner_of_new(new.parent), follow_symlinks=False)
    except OSError as error:
        raise StoreError(
            f"the store cannot be moved from {old} to {new}: {error.strerror}; run this as the "
            "user that runs the service"
        ) from None


def _has_old(paths: Paths) -> bool:
    """Return True if there is a database to move; raise StoreError if both locations have one."""
    # Check the new location first: otherwise a concurrent move would show the database twice.
    new, old = os.path.lexists(paths.database), os.path.lexists(paths.old_database)
    if old and new:
        raise StoreError(
            f"there are two stores: {paths.old_database} from an earlier version, and "
            f"{paths.database} from this one; stop the service and move away "
            "the one that you do not need, with its -wal and -shm files"
        )
    return old


def move_unless_in_use(paths: Paths) -> None:
    """Move the database for a command; raise StoreError while an older service is running."""
    if not _has_old(paths):
        return
    try:
        # No link is followed: in the old layout the web tier's user could replace this file.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(paths.lock, flags, 0o600)
    except OSError as error:
        raise StoreError(
            f"the store {paths.old_database} has to be moved, but {paths.lock} cannot be opened: "
            f"{error.strerror}; run this as the user that runs the service"
        ) from None
    try:
        os.fchown(descriptor, *owner_of_new(paths.home))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        move(paths)
    except BlockingIOError:
        raise StoreError(
            "the running service is of an older version than this command; restart it first"
        ) from None
    finally:
        os.close(descriptor)
