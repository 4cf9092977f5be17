"""Session tokens: JSON Web Tokens (RFC 7519) signed with HS256.

The claims are those of a Mist installation, ``user_id``, ``email``, ``role`` and
``exp``; ours have ``iat``, ``jti`` and ``iss`` too.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any, Final, NamedTuple

import jwt
import msgspec

from mist.errors import NotLoggedIn
from mist.store import User

ISSUER: Final = "mist"
_ALGORITHM: Final = "HS256"
_MAX_CHARACTERS: Final = 4_096

#: Only the signature and the expiry count.  ``iat`` may lie ahead on another
#: machine's clock, and the other registered claims are none of ours.
_OPTIONS: Final[Any] = {
    "require": ["exp"],
    "verify_aud": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_jti": False,
    "verify_sub": False,
}


class Claims(msgspec.Struct, frozen=True):
    """What a valid token says; times are seconds since the epoch."""

    email: str
    role: str
    exp: float
    user_id: int | str | None = None
    iat: float = 0.0
    iss: str | None = None

    @property
    def ours(self) -> bool:
        """Whether this service issued the token, and ``user_id`` is one of its store."""
        return self.iss == ISSUER


class Token(NamedTuple):
    """A signed token and the second at which it expires."""

    text: str
    expires_at: int


def issue(secret: bytes, user: User, hours: float) -> Token:
    """A new session of ``user``.

    ``iat`` has a fraction: a session that begins in the second in which the
    password was changed is told apart from one that was there before.
    """
    now = time.time()
    expires = int(now + hours * 3600)
    claims = {
        "user_id": user.id,
        "email": user.email,
        "role": user.role,
        "exp": expires,
        "iat": now,
        "jti": secrets.token_hex(8),
        "iss": ISSUER,
    }
    return Token(jwt.encode(claims, secret, _ALGORITHM), expires)


def decode(secret: bytes, text: str) -> Claims:
    """The claims of a valid token, or NotLoggedIn with the reason."""
    if len(text) > _MAX_CHARACTERS:
        raise NotLoggedIn("Invalid session")
    try:
        claims = jwt.decode(text, secret, [_ALGORITHM], options=_OPTIONS)
        return msgspec.convert(claims, Claims, strict=False)
    except jwt.ExpiredSignatureError:
        raise NotLoggedIn("Session expired") from None
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, OverflowError):
        raise NotLoggedIn("Invalid session") from None


def digest(text: str) -> str:
    """What the store remembers of a revoked token: its SHA-256, never the token."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
