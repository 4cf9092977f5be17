"""Session tokens: JSON Web Tokens (RFC 7519) signed with HS256.

The claims are those of a Mist installation, ``user_id``, ``email``, ``role`` and
``exp``; ours have ``iat``, ``jti``, ``iss`` and ``installation`` too.  One secret may
serve several installations, so only the last of these says whose ``user_id`` it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from typing import Annotated, Any, Final, NamedTuple

import jwt
import msgspec

from mist.errors import NotLoggedIn
from mist.store import User

ISSUER: Final = "mist"
_ALGORITHM: Final = "HS256"
_MAX_CHARACTERS: Final = 4_096
#: The end of the year 9999, after which RFC 3339 has no times; in seconds since the epoch.
_LAST_SECOND: Final = 253_402_300_799
#: Text without NUL, which PostgreSQL does not store, and lone surrogates, which are not UTF-8.
_TEXT: Final = r"\A[^\x00\ud800-\udfff]*\Z"

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

    email: Annotated[str, msgspec.Meta(max_length=254, pattern=_TEXT)]
    role: str
    exp: Annotated[float, msgspec.Meta(ge=0, le=_LAST_SECOND)]
    user_id: int | str | None = None
    iat: Annotated[float, msgspec.Meta(ge=0, le=_LAST_SECOND)] | None = None
    iss: str | None = None
    installation: object = None
    jti: object = None

    @property
    def of_this_program(self) -> bool:
        """Return True if this program issued the token, here or in another installation."""
        return self.iss == ISSUER

    def issued_by(self, installation: str) -> bool:
        """Return True if this installation issued the token, and ``user_id`` is of its store."""
        return self.of_this_program and self.installation == installation

    def session(self, text: str, installation: str) -> str:
        """Return what names the session in the store: a SHA-256, never the token.

        A session of this installation is its ``jti``; the scope keeps other installations,
        which choose theirs freely, from naming it.  A token of others is its text, which
        has one canonical form only.
        """
        return digest(f"{installation}:{self.jti}" if self.issued_by(installation) else text)


class Token(NamedTuple):
    """A signed token and the second at which it expires."""

    text: str
    expires_at: int


def issue(secret: bytes, installation: str, user: User, hours: float) -> Token:
    """Begin a session of ``user`` in this ``installation``.

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
        "jti": secrets.token_hex(16),
        "iss": ISSUER,
        "installation": installation,
    }
    return Token(jwt.encode(claims, secret, _ALGORITHM), expires)


def decode(secret: bytes, text: str) -> Claims:
    """The claims of a valid token, or NotLoggedIn with the reason."""
    if len(text) > _MAX_CHARACTERS or not _canonical(text):
        raise NotLoggedIn("Invalid session")
    try:
        claims = jwt.decode(text, secret, [_ALGORITHM], options=_OPTIONS)
        return msgspec.convert(claims, Claims, strict=False)
    except jwt.ExpiredSignatureError:
        raise NotLoggedIn("Session expired") from None
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, OverflowError, RecursionError):
        raise NotLoggedIn("Invalid session") from None


def _canonical(text: str) -> bool:
    """Return True if every part is base64url as RFC 7515 §2 writes it.

    Decoders also take padding, stray characters and unused bits that are not zero.
    The signature does not cover its own spelling, so each would be another text of
    the same session.
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
    """Return the SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
