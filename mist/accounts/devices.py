"""Known devices: what a log-in leaves with the client for its next one.

A device token proves that the client has signed in to the account before.  It opens
nothing: it only gives the client a limit of failed log-ins of its own, so that others
cannot use the account's limit up.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Any, Final

import jwt

from mist.accounts.tokens import Token

_ALGORITHM: Final = "HS256"
_MAX_CHARACTERS: Final = 1_024
_REQUIRED: Final[Any] = {"require": ["exp", "sub", "jti"]}


def issue(secret: bytes, email: str, days: float) -> Token:
    """Return a token for a device of the account with this canonical address."""
    expires = int(time.time() + days * 86_400)
    claims = {"sub": _account(secret, email), "jti": secrets.token_hex(16), "exp": expires}
    return Token(jwt.encode(claims, _key(secret), _ALGORITHM), expires)


def recognise(secret: bytes, text: str, email: str) -> str | None:
    """Return the device's id if it belongs to this account, otherwise None."""
    if not text or len(text) > _MAX_CHARACTERS:
        return None
    try:
        claims = jwt.decode(text, _key(secret), [_ALGORITHM], options=_REQUIRED)
    except (jwt.PyJWTError, ValueError):
        return None
    if claims["sub"] != _account(secret, email):
        return None
    return str(claims["jti"])[:64]


def _key(secret: bytes) -> bytes:
    """Return a key of its own, so that no device token is a session token or vice versa."""
    return hmac.digest(secret, b"mist device", hashlib.sha256)


def _account(secret: bytes, email: str) -> str:
    # Not the address itself, which a shared browser would show to others.
    return hmac.new(_key(secret), email.encode(errors="surrogatepass"), "sha256").hexdigest()
