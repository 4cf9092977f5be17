"""Passwords, hashed with Argon2id (RFC 9106, its second recommended parameters)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mist.errors import UsageError

#: NIST SP 800-63B §5.1.1.2 asks for 8 at least, and for no rules on characters.
MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 1_024

#: How many hashes are made at once in a gunicorn worker, each with 64 MiB of memory.
_THREADS: Final = 2

_T = TypeVar("_T")
_hasher = PasswordHasher()


def check(password: str) -> str:
    """The password itself, or UsageError if it is too short or too long."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise UsageError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    return password


def generate() -> str:
    """A random password of 96 bits, for somebody to type once."""
    return secrets.token_urlsafe(12)


def make_hash(password: str) -> str:
    """The hash that the store keeps."""
    return _offload(_hasher.hash, password)


def verify(stored: str | None, password: str) -> bool:
    """Whether ``password`` is the one that was hashed.

    Without a hash (there is no such account) the answer is no and takes as long
    as any other, so that nobody learns by the clock who has an account.
    """
    if len(password) > MAX_LENGTH:
        return False
    return _offload(_matches, stored, password) and stored is not None


def _matches(stored: str | None, password: str) -> bool:
    """The answer as a value: for an exception gevent's pool writes a traceback into the log."""
    try:
        return _hasher.verify(stored or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False


def outdated(stored: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(stored)


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_urlsafe())


def _offload(function: Callable[..., _T], *arguments: Any) -> _T:
    """Call ``function``, in a thread if this is a gevent worker, whose loop it would stop."""
    pool = _gevent_pool()
    return function(*arguments) if pool is None else pool.apply(function, arguments)


@cache
def _gevent_pool() -> Any:
    """Gevent's thread pool in a process whose threads gevent has replaced, otherwise None."""
    from gevent import monkey, threadpool  # noqa: PLC0415 - the command needs no gevent

    return threadpool.ThreadPool(_THREADS) if monkey.is_module_patched("threading") else None
