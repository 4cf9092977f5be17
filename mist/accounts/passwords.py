"""Password hashing with Argon2id (RFC 9106, second recommended parameter set)."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from mist.errors import UsageError

# NIST SP 800-63B §5.1.1.2 requires at least 8 characters and a check against common
# passwords, and advises against rules on which characters to use.
MIN_LENGTH: Final = 10
# Bounds the work that one password can cause.
MAX_LENGTH: Final = 1_024

# The scale of zxcvbn, 0 to 4: below 2, fewer than a million guesses find the password.  From 3 on,
# more than a hundred million are needed.
_MIN_SCORE: Final = 2
_GOOD_SCORE: Final = 3
# Without its spaces, "four pass words" has 1, and "p a s s w o r d" has 0.
_MIN_SCORE_JOINED: Final = 1
# A longer password is judged by its beginning.  With 72 characters, of which each stands for
# several letters, zxcvbn takes four seconds.
_SCORED_LENGTH: Final = 32
# A word, as in "Summer2024!" and "ChangeMe!!".
_WORD: Final = re.compile(r"[^\W\d_](.*[^\W\d_])?", re.DOTALL)

# Marks on letters, and format characters such as a zero-width space.
_INVISIBLE: Final = frozenset({"Mn", "Me", "Cf"})


class _Pool(NamedTuple):
    """Threads of one gunicorn worker for one purpose."""

    purpose: str
    threads: int


# Each hash takes 64 MiB of memory.
_HASHING: Final = _Pool("hashing", 2)
# Apart from those, so that users who change passwords do not hold log-ins up.
_SCORING: Final = _Pool("scoring", 1)

_T = TypeVar("_T")
_hasher = PasswordHasher()


def check(password: str, email: str = "") -> str:
    """Return ``password``, or raise UsageError if its length is wrong or it is easy to guess.

    ``email`` is the account's address, which is a part of the first guesses.
    """
    try:
        password.encode()
    except UnicodeEncodeError:  # bytes of a terminal or a pipe (PEP 383)
        raise UsageError("the password is not UTF-8 text") from None
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise UsageError(f"the password must have {MIN_LENGTH} to {MAX_LENGTH} characters")
    if _offload(_is_easy, password, email, pool=_SCORING):
        raise UsageError(
            "the password is too easy to guess; use a longer one, such as four random words"
        )
    return password


def _is_easy(password: str, email: str) -> bool:
    text, address = _plain(password), _plain(email)
    known = [address, *address.split("@")]
    score = _score(text, known)
    if score < _GOOD_SCORE and (word := _WORD.search(text)):
        score = min(score, _score(word[0], known))  # most people add a year or a sign
    return score < _MIN_SCORE or _score("".join(text.split()), known) < _MIN_SCORE_JOINED


def _plain(text: str) -> str:
    """Return the text without accents, compatibility characters and invisible ones."""
    # Such characters in a common password are not worth more guesses.
    parts = unicodedata.normalize("NFKD", text)
    return "".join(each for each in parts if unicodedata.category(each) not in _INVISIBLE)


def _score(text: str, known: list[str]) -> int:
    # Its word lists take 20 MB of memory, and most processes check no password.
    from zxcvbn import zxcvbn  # noqa: PLC0415

    # zxcvbn raises an error for an empty text.
    return int(zxcvbn(text[:_SCORED_LENGTH], known)["score"]) if text else 0


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


def _offload(function: Callable[..., _T], *arguments: Any, pool: _Pool = _HASHING) -> _T:
    """Call ``function``; in a gevent worker use a thread, because it would block the loop."""
    threads = _gevent_pool(pool)
    return function(*arguments) if threads is None else threads.apply(function, arguments)


@cache
def _gevent_pool(pool: _Pool) -> Any:
    """Return gevent's thread pool for a purpose if gevent has patched ``threading``, or None."""
    # Unpatched processes have no loop to block, and a pool would start threads for nothing.
    from gevent import monkey, threadpool  # noqa: PLC0415 - the command needs no gevent

    return threadpool.ThreadPool(pool.threads) if monkey.is_module_patched("threading") else None
