"""The directories of a service, and the locks that keep a second service out of them."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

from mist.errors import AlreadyRunning, Exit, MistError, UnsafePath
from mist.paths import Paths, owner_of_new, refuse_unsafe

# An ``ipc`` address is the path of a Unix socket.  sun_path has 108 bytes including the
# terminating zero (unix(7)).
_SOCKET_NAME_BYTES: Final = 107

_SOCKETS: Final = ("events", "ingest", "replay", "control", "notify", "readers")


class UnsafeDirectory(MistError):
    """A directory that cannot be used, or that another user could tamper with."""

    exit_status = Exit.CANNOT_CREATE


def prepare(paths: Paths) -> None:
    """Create the directories for this user and group alone, or raise UnsafeDirectory."""
    longest = max(len(os.fsencode(paths.runtime / name)) for name in _SOCKETS)
    if longest > _SOCKET_NAME_BYTES:
        raise UnsafeDirectory(
            f"{paths.runtime} is too long a path for sockets; set MIST_RUNTIME to a shorter one"
        )
    for directory, variable in ((paths.home, "MIST_HOME"), (paths.runtime, "MIST_RUNTIME")):
        _make(directory, variable, 0o750)
        try:
            refuse_unsafe(directory, variable, paths.home)
        except UnsafePath as error:
            raise UnsafeDirectory(str(error)) from None
        # Root may run the service on the state of the service's user.  The sockets then
        # belong to that user, too.
        owner = paths.home.stat().st_uid if os.geteuid() == 0 else os.geteuid()
        _check(directory, variable, owner)
    # Another user who can rename the runtime directory could put one of their own in its place.
    _check(paths.runtime.parent, "MIST_RUNTIME", os.geteuid())
    for folder, mode in (
        (paths.deployment_log(1).parent, 0o750),
        (paths.kept_log(1, 1).parent.parent, 0o700),
        (paths.work_folder(1).parent, 0o700),
    ):
        if folder.is_symlink():
            raise UnsafeDirectory(f"{folder} is a symbolic link; replace it by a directory")
        _make(folder, "MIST_HOME", mode)
        _check(folder, "MIST_HOME", paths.home.stat().st_uid)


def lock(paths: Paths) -> ExitStack:
    """Lock state and sockets for this process, or raise AlreadyRunning.

    The returned context holds the locks and removes the sockets at its end.
    """
    held = ExitStack()
    # Two locks, because two services may share either directory and not the other.
    for name, place in ((paths.lock, paths.home), (paths.runtime / "lock", paths.runtime)):
        held.enter_context(_locked(name, place))
    # libzmq leaves the files of its sockets behind, which would look like a running service.
    held.callback(_remove_sockets, paths)
    return held


def _remove_sockets(paths: Paths) -> None:
    """Remove the sockets of the service, but no other files in MIST_RUNTIME."""
    for name in _SOCKETS:
        path = paths.runtime / name
        if path.is_socket():
            path.unlink(missing_ok=True)


def _locked(name: Path, place: Path) -> IO[str]:
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unwritable(name, error) from None
    # A lock that root created must not keep out the service's user later.
    os.fchown(descriptor, *owner_of_new(name.parent))
    file = os.fdopen(descriptor, "r+")
    try:
        # The kernel releases the lock when the process ends, however it ends (flock(2)).
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = file.read().strip()
        file.close()
        raise AlreadyRunning(int(holder) if holder.isdigit() else None, str(place)) from None
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        file.close()
        raise _unwritable(name, error) from None
    return file


def _unwritable(name: Path, error: OSError) -> UnsafeDirectory:
    advice = (
        "free some space on its disk" if error.errno == errno.ENOSPC else "check its permissions"
    )
    return UnsafeDirectory(f"cannot write {name}: {error.strerror}; {advice}")


def _make(directory: Path, variable: str, mode: int) -> None:
    try:
        if not directory.is_dir():
            directory.mkdir(mode=mode, parents=True, exist_ok=True)
            os.chown(directory, *owner_of_new(directory.parent))
            directory.chmod(mode)
        elif directory.stat().st_uid == os.geteuid() and _mode(directory) & stat.S_IWGRP:
            # Earlier versions gave the group write access, which now only this user has.
            # Otherwise no chmod(2): it would clear the set-group-ID bit of MIST_RUNTIME, which
            # gives the sockets their group, because this user is not in that group.
            directory.chmod(_mode(directory) & ~stat.S_IWGRP)
    except OSError as error:
        raise UnsafeDirectory(
            f"cannot create {directory}: {error.strerror}; set {variable} to another directory"
        ) from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise UnsafeDirectory(
            f"this user may not write to {directory}; set {variable} to another directory"
        )


def _mode(path: Path) -> int:
    """Return the permissions of a file or directory."""
    return stat.S_IMODE(path.stat().st_mode)


def _check(directory: Path, variable: str, owner: int) -> None:
    """Refuse a directory in which a user other than root and ``owner`` could replace files."""
    found = directory.stat()
    theirs = found.st_uid not in {0, os.geteuid(), owner}
    # In a sticky directory, users cannot remove or rename the files of others (unlink(2)).
    open_to_all = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
    if theirs or open_to_all:
        raise UnsafeDirectory(
            f"other users can change {directory}; set {variable} to a directory of your own"
        )
