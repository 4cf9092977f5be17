"""The key that signs sessions: a file that only this user and its group may read."""

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

#: HS256 asks for a key as long as its hash (RFC 7518 §3.2).
_MIN_BYTES: Final = 32


class NoKeyYet(SettingsError):
    """The key is still to be made by the supervisor; the service manager may try again."""

    exit_status = Exit.TEMPORARY


def load_or_create(paths: Paths) -> bytes:
    """The key; made on the first call.  A key of a Mist installation may be put there instead."""
    try:
        if not os.path.lexists(paths.secret):
            _create(paths.secret)
    except OSError as error:
        raise SettingsError(str(paths.secret), error.strerror or str(error)) from None
    return load(paths)


def load(paths: Paths) -> bytes:
    """Return the key; SettingsError if it is missing, too short, or not the state's owner's."""
    path = paths.secret
    try:
        # Neither a link nor a pipe, which would lead elsewhere or never answer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            _check(path, os.fstat(file.fileno()))
            key = file.read().strip()
    except FileNotFoundError:
        raise NoKeyYet(
            str(path), "there is no key yet; start the supervisor (or `mist up`), which makes it"
        ) from None
    except OSError as error:
        raise SettingsError(str(path), _explained(error)) from None
    if len(key) < _MIN_BYTES:
        raise SettingsError(
            str(path), f"a key has {_MIN_BYTES} characters or more; remove the file for a new one"
        )
    return key


def _check(path: Path, status: os.stat_result) -> None:
    """Refuse a key that is not a file of root, of this user or of the state's owner."""
    if stat.S_ISDIR(status.st_mode):
        raise SettingsError(str(path), "Is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise SettingsError(str(path), "it is not a regular file; replace it by one")
    owner = path.parent.stat().st_uid
    if status.st_uid not in {0, os.geteuid(), owner}:
        raise SettingsError(
            str(path),
            f"user {status.st_uid} owns it and could change it; run: chown {owner} {path}",
        )
    if status.st_mode & 0o007:
        raise SettingsError(str(path), f"everybody may read it; run: chmod o= {path}")
    if status.st_mode & 0o020:
        raise SettingsError(str(path), f"its group may change it; run: chmod g-w {path}")


def _explained(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a symbolic link: refused; put the file itself there"
    return error.strerror or str(error)


def _create(path: Path) -> None:
    """Write a new key aside and link it into place: of two at once the first one wins."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(file.fileno(), *owner_of_new(path.parent))
            os.fchmod(file.fileno(), 0o640)
            file.write(secrets.token_hex(_MIN_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
