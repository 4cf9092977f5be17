"""The key that signs sessions: a file that only this user and its group may read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from mist.errors import SettingsError
from mist.paths import Paths

#: HS256 asks for a key as long as its hash (RFC 7518 §3.2).
_MIN_BYTES: Final = 32


def load_or_create(paths: Paths) -> bytes:
    """The key; made on the first call.  A key of a Mist installation may be put there instead."""
    try:
        if not paths.secret.exists():
            _create(paths.secret)
        return _load(paths.secret)
    except OSError as error:
        raise SettingsError(str(paths.secret), error.strerror or str(error)) from None


def _load(path: Path) -> bytes:
    key = path.read_bytes().strip()
    if len(key) < _MIN_BYTES:
        raise SettingsError(
            str(path), f"a key has {_MIN_BYTES} characters or more; remove the file for a new one"
        )
    if path.stat().st_mode & 0o007:
        raise SettingsError(str(path), f"everybody may read it; run: chmod o= {path}")
    return key


def _create(path: Path) -> None:
    """Write a new key aside and link it into place: of two at once the first one wins."""
    path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o640)
            file.write(secrets.token_hex(_MIN_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
