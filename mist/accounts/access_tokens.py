"""The tokens of programs: made once, shown once, and stored as a hash.

A token acts for its user, and its limits can only take rights away.  It survives a change
of the user's password, because it was not derived from it; revoking it ends it.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from mist import clock
from mist.accounts.tokens import digest
from mist.errors import NotLoggedIn, StoreError, UsageError
from mist.ids import parse_id
from mist.settings import AuthSettings
from mist.store import AccessToken, Right, Store, User

log = structlog.get_logger(__name__)

# Tells people and secret scanners what a text is; 32 random bytes cannot be guessed.
_PREFIX: Final = "mist_"
_BYTES: Final = 32
_TEXT: Final = re.compile(r"mist_[A-Za-z0-9_-]{43}")
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}")

_LIFETIME: Final = re.compile(r"(\d{1,6})(h|d|w)", re.ASCII)
_SECONDS: Final = {"h": 3_600, "d": 86_400, "w": 604_800}
_MAX_DAYS: Final = 36_500


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of a new token; ``apps`` holds names or ids of applications.

    Without ``apps`` and ``right`` the token may do whatever its user may.  With
    applications alone it is a deployer of these, as a grant without a word is.
    ``expires`` is a duration such as ``90d``; without it the token does not expire.
    """

    name: str
    apps: tuple[str | int, ...] | None = None
    right: Right | None = None
    expires: str | None = None


class CreatedToken(NamedTuple):
    """A token together with its text, which the service cannot show again."""

    token: AccessToken
    text: str


class Holder(NamedTuple):
    """A valid token, its user, and the digest of its text."""

    token: AccessToken
    user: User
    digest: str


def create(store: Store, auth: AuthSettings, user: User, new: NewToken) -> CreatedToken:
    """Make a token of ``user``; raise UsageError or Conflict with the reason."""
    if not _NAME.fullmatch(new.name) or not new.name.strip():
        raise UsageError(
            f"{new.name[:80]!r} is not a name for a token; use 1 to 64 printable characters"
        )
    apps = None if new.apps is None else _app_ids(store, user, new.apps)
    text = _PREFIX + secrets.token_urlsafe(_BYTES)
    token = AccessToken(
        id=0,  # the store's to choose
        user_id=user.id,
        name=new.name,
        right=new.right or (None if apps is None else "deployer"),
        apps=apps,
        created_at=clock.now(),
        expires_at=None if new.expires is None else _end(new.expires),
        last_used_at=None,
    )
    return CreatedToken(store.tokens.add(token, digest(text), auth.tokens_per_user), text)


def identify(store: Store, auth: AuthSettings, text: str) -> Holder:
    """Return the holder of a token and record its use; raise NotLoggedIn with the reason."""
    found = store.tokens.by_digest(digest(text)) if _TEXT.fullmatch(text) else None
    if found is None:
        raise NotLoggedIn("The token is not valid: it was mistyped, or it has been revoked")
    token, now = found.token, clock.now()
    if token.expired(now):
        raise NotLoggedIn(f"The token {token.name!r} expired at {token.expires_at}")
    _note_use(store, token, now, auth.token_used_seconds)
    return Holder(token, found.user, digest(text))


def public(token: AccessToken, email: str) -> dict[str, object]:
    """Return what the token's user and admins may read."""
    return {
        "id": token.id,
        "name": token.name,
        "user": email,
        "right": token.right,
        "apps": token.apps,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }


def _app_ids(store: Store, user: User, apps: Sequence[str | int]) -> tuple[int, ...]:
    """Return the ids; raise UsageError for an application that the user may not see."""
    if not apps:
        raise UsageError("a token for no application is of no use; name one, or leave apps out")
    found = set()
    for each in apps:
        app = store.apps.by_name(str(each))
        number = app.id if app else parse_id(str(each))
        # The same words whether it exists or not: which ones exist is not the user's to know.
        if number is None or store.apps.get(number) is None or not store.apps.allowed(number, user):
            raise UsageError(
                f"there is no application {str(each)[:80]!r} that {user.email} may see"
            )
        found.add(number)
    return tuple(sorted(found))


def _end(expires: str) -> str:
    """Return the end of a lifetime that begins now."""
    match = _LIFETIME.fullmatch(expires)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _MAX_DAYS * 86_400:
        raise UsageError(
            f"a token's lifetime is 1h to {_MAX_DAYS}d, such as 12h, 90d or 4w, "
            f"not {expires[:64]!r}"
        )
    return clock.rfc3339(time.time_ns() + seconds * 1_000_000_000)


def _note_use(store: Store, token: AccessToken, now: str, seconds: float) -> None:
    """Record the use unless that was done a moment ago: not every request is worth a write."""
    last = token.last_used_at
    # A time in the future is from before the clock was set back.
    if (
        last is not None
        and last <= now
        and clock.nanoseconds(now) - clock.nanoseconds(last) < (seconds * 1e9)
    ):
        return
    try:
        store.tokens.note_use(token.id, now)
    except StoreError as error:
        # A store that can be read but not written must not lock programs out.
        log.warning("token_use_not_recorded", token=token.id, reason=str(error))
