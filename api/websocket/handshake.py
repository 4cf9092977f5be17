"""The opening handshake, without I/O: check the request and build the response (RFC 6455 §4.2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

# RFC 6455 §1.3.
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES: Final = 16
VERSION: Final = "13"

_BAD_REQUEST: Final = "400 Bad Request"
_UPGRADE_REQUIRED: Final = "426 Upgrade Required"


class HandshakeProblem(NamedTuple):
    """The reason why a handshake is refused: an HTTP status line and a message."""

    status: str
    message: str


# The headers that a response with status 426 must have (RFC 9110 §15.5.22, RFC 6455
# §4.4).
UPGRADE_HEADERS: Final = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", VERSION),
)


def problem(environ: Mapping[str, Any]) -> HandshakeProblem | None:
    """Return what is wrong with a request as a WebSocket handshake, or None."""
    return _not_a_handshake(environ) or _unacceptable(environ)


def _not_a_handshake(environ: Mapping[str, Any]) -> HandshakeProblem | None:
    if environ["REQUEST_METHOD"] != "GET":
        return HandshakeProblem(_BAD_REQUEST, "a WebSocket handshake must be a GET request")
    if environ["SERVER_PROTOCOL"] != "HTTP/1.1":  # RFC 6455 §4.2.1; HTTP/2 has RFC 8441
        return HandshakeProblem(_UPGRADE_REQUIRED, "a WebSocket handshake requires HTTP/1.1")
    if "websocket" not in _tokens(environ, "HTTP_UPGRADE"):
        return HandshakeProblem(
            _UPGRADE_REQUIRED,
            "this is a WebSocket route, but the request has no 'Upgrade: websocket' header",
        )
    if "upgrade" not in _tokens(environ, "HTTP_CONNECTION"):
        return HandshakeProblem(
            _UPGRADE_REQUIRED,
            "the request has no 'Connection: Upgrade' header; "
            "a reverse proxy must forward Upgrade and Connection",
        )
    return None


def _unacceptable(environ: Mapping[str, Any]) -> HandshakeProblem | None:
    version = environ.get("HTTP_SEC_WEBSOCKET_VERSION", "")
    if version != VERSION:
        return HandshakeProblem(
            _UPGRADE_REQUIRED, f"Sec-WebSocket-Version is {version!r}; this server supports 13"
        )
    if not _valid_key(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")):
        return HandshakeProblem(
            _BAD_REQUEST, "Sec-WebSocket-Key is missing or is not 16 bytes in Base64"
        )
    # The bytes of a body would be read as frames.
    if environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ:
        return HandshakeProblem(_BAD_REQUEST, "a WebSocket handshake must not have a body")
    return None


def _tokens(environ: Mapping[str, Any], name: str) -> list[str]:
    """Return the tokens of a list-valued header in lower case."""
    return [token.strip() for token in environ.get(name, "").lower().split(",")]


def _valid_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def response(key: str) -> bytes:
    """Return the response that accepts a handshake with this Sec-WebSocket-Key."""
    # SHA-1 is what the protocol prescribes; it protects nothing here.
    digest = hashlib.sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
