"""The key that signs sessions: a file that only its owner and group may access."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from mist.errors import Exit, SettingsError
from mist.paths import Paths, owner_of_new

# HS256 requires a key at least as long as its hash output (RFC 7518 §3.2).
_MIN_BYTES: Final = 32


class NoKeyYet(SettingsError):
    """The supervisor has not created the key yet; the service manager may retry."""

    exit_status = Exit.TEMPORARY


def load_or_create(paths: Paths) -> bytes:
    """Return the key, creating it on the first call.

    The operator may also copy the key of a Mist installation to this path.
    """
    try:
        if not os.path.lexists(paths.secret):
            _create(paths.secret)
    except OSError as error:
        # For example on a read-only file system.
        raise SettingsError(str(paths.secret), error.strerror or str(error)) from None
    return load(paths)


def load(paths: Paths) -> bytes:
    """Return the key.

    Raise SettingsError if it is missing, too short, readable by everyone, or owned by
    another user than root, this one or the owner of the state.
    """
    path = paths.secret
    try:
        # Refuse symbolic links, and do not block on a named pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            _check(path, os.fstat(file.fileno()))
            key = file.read().strip()
    # The web tier may start before the supervisor, and must not create the key itself.
    except FileNotFoundError:
        raise NoKeyYet(
            str(path),
            "the key does not exist yet; start the supervisor (or `mist up`), which creates it",
        ) from None
    except OSError as error:
        raise SettingsError(str(path), _explained(error)) from None
    if len(key) < _MIN_BYTES:
        raise SettingsError(
            str(path),
            f"the key must have at least {_MIN_BYTES} characters; remove the file for a new one",
        )
    return key


def _check(path: Path, status: os.stat_result) -> None:
    """Refuse a key that is not a regular file of root, this user or the state's owner."""
    if stat.S_ISDIR(status.st_mode):
        raise SettingsError(str(path), "it is a directory; replace it with a regular file")
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(str(path), "it is not a regular file; replace it with one")
    owner = path.parent.stat().st_uid  # the supervisor's user; the web tier only reads the key
    if status.st_uid not in {0, os.geteuid(), owner}:
        raise SettingsError(
            str(path),
            f"it belongs to user {status.st_uid}, who could change it; run: chown {owner} {path}",
        )
    if status.st_mode & 0o007:
        raise SettingsError(str(path), f"every user may access it; run: chmod o= {path}")
    if status.st_mode & 0o020:
        raise SettingsError(str(path), f"its group may write to it; run: chmod g-w {path}")


def _explained(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a symbolic link; replace it with the file itself"
    return error.strerror or str(error)


def _create(path: Path) -> None:
    """Write a new key to a temporary file and link it into place.

    If two processes do this at the same time, the first one wins.
    """
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(file.fileno(), *owner_of_new(path.parent))
            # The umask may have removed the group's right to read.
            os.fchmod(file.fileno(), 0o640)
            file.write(secrets.token_hex(_MIN_BYTES).encode() + b"\n")
            file.flush()
            # A crash must not leave an empty key under the final name.
            os.fsync(file.fileno())
        # link() fails if the name exists; rename() would replace another process's key.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
