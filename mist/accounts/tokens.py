"""Session tokens: JSON Web Tokens (RFC 7519) signed with HS256.

A Mist installation issues the claims ``user_id``, ``email``, ``role`` and ``exp``; this
program adds ``iat``, ``jti``, ``iss``, ``installation`` and ``generation``.  Several
installations may share one secret, so ``user_id`` is only meaningful together with
``installation``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

import jwt
import msgspec

from mist.errors import NotLoggedIn
from mist.store import User

ISSUER: Final = "mist"
_ALGORITHM: Final = "HS256"
# Bounds the work that one cookie can cause.
_MAX_CHARACTERS: Final = 4_096
# The end of the year 9999, the last that RFC 3339 can express, in seconds since the epoch.
_LAST_SECOND: Final = 253_402_300_799
# No NUL, which PostgreSQL cannot store, and no lone surrogates, which UTF-8 cannot encode.
_TEXT: Final = r"\A[^\x00\ud800-\udfff]*\Z"

# Only the signature and the expiry are checked.  ``iat`` may lie in the future because
# the issuer's clock differs, and the other registered claims are not ours to interpret.
_OPTIONS: Final[Any] = {
    "require": ["exp"],
    "verify_aud": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_jti": False,
    "verify_sub": False,
}


class Claims(msgspec.Struct, frozen=True):
    """The claims of a valid token; times are seconds since the epoch."""

    email: Annotated[str, msgspec.Meta(max_length=254, pattern=_TEXT)]
    role: str
    exp: Annotated[float, msgspec.Meta(ge=0, le=_LAST_SECOND)]
    user_id: int | str | None = None
    iat: Annotated[float, msgspec.Meta(ge=0, le=_LAST_SECOND)] | None = None
    iss: str | None = None
    installation: object = None
    jti: object = None
    generation: float | None = None

    @property
    def of_this_program(self) -> bool:
        """Return True if this program issued the token, here or in another installation."""
        return self.iss == ISSUER

    def issued_by(self, installation: str) -> bool:
        """Return True if this installation issued the token, so ``user_id`` refers to its store."""
        return self.of_this_program and self.installation == installation

    def session(self, text: str, installation: str) -> str:
        """Return the SHA-256 that identifies the session in the store.

        A session of this installation is identified by its ``jti``, prefixed with the
        installation so that a foreign issuer, which chooses its own ``jti``, cannot forge the
        same digest.  A foreign token is identified by its text, of which only the canonical
        spelling is accepted.
        """
        return digest(f"{installation}:{self.jti}" if self.issued_by(installation) else text)


class Token(NamedTuple):
    """A signed token and its expiry in seconds since the epoch."""

    text: str
    expires_at: int


def issue(secret: bytes, installation: str, user: User, hours: float) -> Token:
    """Start a session of ``user`` in this ``installation``, valid for ``hours``.

    ``iat`` is fractional, so that a session that starts in the same second as a password
    change can be distinguished from one that existed before.
    """
    now = time.time()
    # If the clock was set back after the account or its password was made, the session
    # would count as older than they are, and every log-in would fail until it has caught up.
    began = max(now, user.sessions_after, created_at(user))
    expires = int(now + hours * 3600)  # whole seconds, as other implementations expect
    claims = {
        "user_id": user.id,
        "email": user.email,
        "role": user.role,
        "exp": expires,
        "iat": began,
        "jti": secrets.token_hex(16),
        "iss": ISSUER,
        "installation": installation,
        "generation": user.sessions_after,
    }
    return Token(jwt.encode(claims, secret, _ALGORITHM), expires)


def created_at(user: User) -> float:
    """Return the second in which the account was created, since the epoch."""
    return datetime.fromisoformat(f"{user.created_at[:19]}+00:00").timestamp()


def decode(secret: bytes, text: str) -> Claims:
    """Return the claims of a valid token, or raise NotLoggedIn with the reason."""
    if len(text) > _MAX_CHARACTERS or not _canonical(text):
        raise NotLoggedIn("Invalid session")
    try:
        claims = jwt.decode(text, secret, [_ALGORITHM], options=_OPTIONS)
        # Lax conversion, because other issuers write numbers as text.
        return msgspec.convert(claims, Claims, strict=False)
    except jwt.ExpiredSignatureError:
        raise NotLoggedIn("Session expired") from None
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, OverflowError, RecursionError):
        raise NotLoggedIn("Invalid session") from None


def _canonical(text: str) -> bool:
    """Return True if every part is base64url exactly as RFC 7515 §2 writes it.

    Decoders also accept padding, stray characters and non-zero unused bits.  The
    signature does not cover its own spelling, so without this check one session would
    have several texts and revoking one would leave the others valid.
    """
    try:
        parts = text.encode("ascii").split(b".")
        return len(parts) == 3 and all(
            base64.urlsafe_b64encode(base64.b64decode(_padded(part), b"-_", validate=True)).rstrip(
                b"="
            )
            == part
            for part in parts
        )
    except (UnicodeEncodeError, binascii.Error):
        return False


def _padded(part: bytes) -> bytes:
    return part + b"=" * (-len(part) % 4)


def digest(text: str) -> str:
    """Return the SHA-256 of ``text`` as hexadecimal digits."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
