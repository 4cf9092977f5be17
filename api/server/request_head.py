"""The rules for a request's head, without I/O.

The parser of the base class is tolerant: it takes ``+10`` for a length, ends at a
malformed line and ignores everything behind it.  A reverse proxy may read the same bytes
differently, and would then take a body for the next request (request smuggling).  So
whatever RFC 9112 forbids is refused before the parser sees it.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

# RFC 9110 §5.6.2; the RFC forbids space between name and colon (RFC 9112 §5.1).
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE: Final = re.compile(_TOKEN + rb" [!-~\x80-\xff]+ HTTP/1\.[0-9]")
_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"):[ \t]*(.*?)[ \t]*", re.DOTALL)
# Visible characters, spaces, tabs, and bytes that have no meaning in HTTP (obs-text).
_VALUE: Final = re.compile(rb"[\t -~\x80-\xff]*")
# RFC 9110 §7.2: a name, an address, or an IPv6 address in brackets, and a port.
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
# More digits are no length that anybody could send.
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")


class HeadTooLarge(ValueError):
    """The headers together exceed the limit."""


class Lines(Protocol):
    """A file that yields lines."""

    def readline(self, size: int = -1, /) -> bytes:
        """Return the next line with its end, or its first ``size`` bytes."""


def check_request_line(line: str) -> None:
    """Raise ValueError unless this is the first line of an HTTP/1 request."""
    text = _without_end(line.encode("latin-1"))
    if _REQUEST_LINE.fullmatch(text) is None:
        raise ValueError("the request line is not METHOD TARGET HTTP/1.1")


class HeadReader:
    """The lines of a request's headers, each checked when it is read.

    At the empty line all headers are checked together, so an unsafe request never
    reaches the parser's end.  ``version`` is the request's, such as ``HTTP/1.1``.
    """

    def __init__(self, lines: Lines, limit: int, version: str) -> None:
        self._lines = lines
        self._limit = self._left = limit
        self._version = version
        self._fields: dict[bytes, list[bytes]] = {}

    def readline(self, _size: int = -1, /) -> bytes:
        """Return the next line; raise ValueError if the request must be refused."""
        line = self._lines.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise HeadTooLarge(f"the headers are larger than {self._limit} bytes")
        text = _without_end(line)
        if text:
            self._take(text)
        else:
            self._check()
        return line

    def _take(self, text: bytes) -> None:
        if text[:1] in (b" ", b"\t"):
            raise ValueError("a header is continued on a second line")
        field = _FIELD.fullmatch(text)
        if field is None:
            raise ValueError("a header line without a valid name and a colon")
        if _VALUE.fullmatch(field[2]) is None:
            raise ValueError("a header has a control character in its value")
        self._fields.setdefault(field[1].lower(), []).append(field[2])

    def _check(self) -> None:
        hosts = self._fields.get(b"host", [])
        lengths = self._fields.get(b"content-length", [])
        codings = self._fields.get(b"transfer-encoding", [])
        if len(hosts) > 1 or (not hosts and self._version != "HTTP/1.0"):
            raise ValueError("a request needs exactly one Host header")
        if hosts and _HOST.fullmatch(hosts[0]) is None:
            raise ValueError("the Host header is not a name with an optional port")
        # RFC 9112 §6.3: a message with two lengths, or two codings, is not safe to interpret.
        if len(lengths) + len(codings) > 1:
            raise ValueError("more than one header states the length of the body")
        if lengths and _LENGTH.fullmatch(lengths[0]) is None:
            raise ValueError("the Content-Length is not a number")
        # gevent decodes only this one, and HTTP/1.0 knows none (RFC 9112 §6.1).
        if codings and (codings[0].lower() != b"chunked" or self._version == "HTTP/1.0"):
            raise ValueError("the only supported transfer coding is chunked")


def _without_end(line: bytes) -> bytes:
    """Return a line without its end; a CR anywhere else is an error (RFC 9112 §2.2)."""
    text = line[:-1] if line.endswith(b"\n") else line
    text = text[:-1] if text.endswith(b"\r") else text
    if b"\r" in text:
        raise ValueError("a carriage return within a line")
    if not line.endswith(b"\n"):
        raise ValueError("the headers end in the middle of a line")
    return text
