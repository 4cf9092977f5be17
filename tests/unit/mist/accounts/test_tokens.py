"""Tests of session tokens."""

from __future__ import annotations

import base64
import json
import string
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist.accounts import tokens
from mist.errors import NotLoggedIn
from mist.store import User

SECRET = b"s" * 32
HERE = "0" * 32
_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
ADA = User(7, "ada@example.com", "admin", "2025-01-15T10:30:00.000000000Z")
VALID: dict[str, Any] = {"user_id": 7, "email": "ada@example.com", "role": "admin"}


def _sign(claims: dict[str, Any], secret: bytes = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode({"exp": int(time.time()) + 86_400, **claims}, secret, algorithm)


def _unsigned(header: dict[str, Any]) -> str:
    parts = (header, {**VALID, "exp": int(time.time()) + 86_400})
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*texts, b""]).decode()


def test_a_token_says_who() -> None:
    """A token carries the contract's claims and our own."""
    before = time.time()
    token = tokens.issue(SECRET, HERE, ADA, 2.0)
    claims = tokens.decode(SECRET, token.text)
    assert (claims.user_id, claims.email, claims.role) == (7, "ada@example.com", "admin")
    assert claims.issued_by(HERE)
    assert not claims.issued_by("e" * 32)
    assert claims.exp == token.expires_at
    assert before + 7199 <= claims.exp <= time.time() + 7200
    assert claims.iat is not None
    assert before <= claims.iat <= time.time()


def test_two_sessions_are_two_tokens() -> None:
    """Two sessions have different tokens, so that one can be logged out."""
    first, second = (tokens.issue(SECRET, HERE, ADA, 1.0).text for _ in range(2))
    assert tokens.digest(first) != tokens.digest(second)


def test_a_token_of_a_mist_installation_is_understood() -> None:
    """A Mist installation's token is accepted without an issuer or a time of issue."""
    claims = tokens.decode(SECRET, _sign(VALID))
    assert not claims.of_this_program
    assert claims.iat is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "a.b.c",
        "é" * 20,
        "x" * 1_000_000,
        _unsigned({"alg": "none", "typ": "JWT"}),
        _unsigned({"alg": "HS256", "typ": "JWT"}),
        _sign(VALID, b"t" * 32),
        _sign(VALID, b"s" * 64, "HS512"),
        _sign({}),
        _sign({**VALID, "email": 5}),
        _sign({**VALID, "exp": None}),
        _sign({**VALID, "exp": "soon"}),
        _sign({**VALID, "exp": 253_402_300_800}),
        _sign({**VALID, "exp": 1e300}),
        _sign({**VALID, "exp": float("nan")}),
        _sign({**VALID, "exp": float("inf")}),
        _sign({**VALID, "iat": float("nan")}),
        _sign({**VALID, "iat": -1}),
        _sign({**VALID, "email": "\ud800@example.com"}),
        _sign({**VALID, "email": "a\x00@example.com"}),
        _sign({**VALID, "email": "x" * 300}),
    ],
    ids=lambda text: text[:24],
)
def test_an_invalid_token_is_refused(text: str) -> None:
    """An unsigned token, or one with a foreign signature, algorithm or claims, is refused."""
    with pytest.raises(NotLoggedIn, match="Invalid session"):
        tokens.decode(SECRET, text)


def test_a_token_expires() -> None:
    """An expired token is refused as expired."""
    with pytest.raises(NotLoggedIn, match="Session expired"):
        tokens.decode(SECRET, _sign({**VALID, "exp": int(time.time()) - 1}))


def _spellings(token: str) -> set[str]:
    """Return texts that a lenient decoder takes for the same token."""
    head, body, signature = token.split(".")
    last = _ALPHABET.index(signature[-1])
    # The last of 43 characters has two unused bits.
    bits = {signature[:-1] + _ALPHABET[last ^ unused] for unused in (1, 2, 3)}
    padded = {f"{signature}=", f"{signature}==", f"{signature}===="}
    strewn = {f"{signature[:9]}{stray}{signature[9:]}" for stray in (" ", "\n", "=", "!", "\x00")}
    plain = {signature.replace("-", "+").replace("_", "/")} - {signature}
    texts = {f"{head}.{body}.{other}" for other in bits | padded | strewn | plain}
    return texts | {
        f"{token}.",
        f".{token}",
        f" {token}",
        f"{token}\n",
        f"{head}=.{body}.{signature}",
    }


def test_a_token_has_one_spelling() -> None:
    """A token has one spelling, because revocation compares texts."""
    for _ in range(20):
        token = tokens.issue(SECRET, HERE, ADA, 1.0).text
        assert tokens.decode(SECRET, token)
        for text in _spellings(token):
            with pytest.raises(NotLoggedIn, match="Invalid session"):
                tokens.decode(SECRET, text)


_TOKEN = tokens.issue(SECRET, HERE, ADA, 1.0).text


@given(st.data())
def test_no_change_of_the_signature_is_accepted(data: st.DataObject) -> None:
    """A signature with any character inserted, removed or replaced is refused."""
    token = _TOKEN
    place = data.draw(st.integers(token.rindex(".") + 1, len(token)))
    insert = data.draw(st.sampled_from(["", *_ALPHABET, "=", "+", "/", " ", "\t", "%", "é"]))
    cut = data.draw(st.integers(0, 1))
    changed = token[:place] + insert + token[place + cut :]
    if changed != token:
        with pytest.raises(NotLoggedIn, match="Invalid session"):
            tokens.decode(SECRET, changed)
