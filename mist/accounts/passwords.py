"""Password hashing with Argon2id (RFC 9106, second recommended parameter set)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mist.errors import UsageError

# NIST SP 800-63B §5.1.1.2 requires at least 8 characters and a check against common
# passwords, and advises against rules on which characters to use.
MIN_LENGTH: Final = 10
# Bounds the work that one password can cause.
MAX_LENGTH: Final = 1_024

# The scale of zxcvbn, 0 to 4: below 2, fewer than a million guesses find the password.
_MIN_SCORE: Final = 2
# zxcvbn takes no more characters than these; a password that long is judged by its beginning.
_SCORED_LENGTH: Final = 72

# Hashes computed at the same time in one gunicorn worker; each takes 64 MiB of memory.
_THREADS: Final = 2

_T = TypeVar("_T")
_hasher = PasswordHasher()


def check(password: str) -> str:
    """Return ``password``, or raise UsageError if its length is wrong or it is easy to guess."""
    try:
        password.encode()
    except UnicodeEncodeError:  # bytes of a terminal or a pipe (PEP 383)
        raise UsageError("the password is not UTF-8 text") from None
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise UsageError(f"the password must have {MIN_LENGTH} to {MAX_LENGTH} characters")
    if _offload(_score, password[:_SCORED_LENGTH]) < _MIN_SCORE:
        raise UsageError(
            "the password is too easy to guess; use a longer one, such as four random words"
        )
    return password


def _score(password: str) -> int:
    # Its word lists take 20 MB of memory, and most processes check no password.
    from zxcvbn import zxcvbn  # noqa: PLC0415

    return int(zxcvbn(password)["score"])


def generate() -> str:
    """Return a random 96-bit password, short enough to type once."""
    return secrets.token_urlsafe(12)  # 12 bytes are 96 bits


def make_hash(password: str) -> str:
    """Return the Argon2id hash of ``password`` as the store keeps it."""
    return _offload(_hasher.hash, password)


def verify(stored: str | None, password: str) -> bool:
    """Return True if ``stored`` is the hash of ``password``.

    Without a hash (the account does not exist) return False after the same amount
    of work, so that response times do not reveal which accounts exist.
    """
    # Checked before hashing; no stored password is longer.
    if len(password) > MAX_LENGTH:
        return False
    return _offload(_matches, stored, password) and stored is not None


def _matches(stored: str | None, password: str) -> bool:
    """Return the result as a value: gevent's thread pool logs a traceback for every exception."""
    try:
        return _hasher.verify(stored or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False


def outdated(stored: str) -> bool:
    """Return True if the hash was made with weaker parameters than the current ones."""
    return _hasher.check_needs_rehash(stored)


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_urlsafe())


def _offload(function: Callable[..., _T], *arguments: Any) -> _T:
    """Call ``function``; in a gevent worker use a thread, because hashing would block its loop."""
    pool = _gevent_pool()
    return function(*arguments) if pool is None else pool.apply(function, arguments)


@cache
def _gevent_pool() -> Any:
    """Return gevent's thread pool if gevent has patched ``threading``, otherwise None."""
    # Unpatched processes have no loop to block, and a pool would start threads for nothing.
    from gevent import monkey, threadpool  # noqa: PLC0415 - the command needs no gevent

    return threadpool.ThreadPool(_THREADS) if monkey.is_module_patched("threading") else None
