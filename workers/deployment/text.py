"""From a program's raw output to lines fit for a log, without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

#: Shorter values hide nothing worth hiding, and blotting out each "1" would spoil the log.
SHORTEST_SECRET: Final = 4

BLOT: Final = "***"
CUT: Final = " … [truncated]"

_CREDENTIALS = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*@")


class Lines:
    """Puts pieces of output together to lines of ``limit`` bytes at most.

    A carriage return begins the line anew, as on a terminal, so that of a
    progress display only the last state remains.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun = ""
        self._cut = False

    def feed(self, piece: str) -> list[str]:
        """The lines that ``piece`` completes."""
        *whole, rest = piece.split("\n")
        lines = [self._end(part) for part in whole]
        self._grow(rest)
        return [line for line in lines if line is not None]

    def rest(self) -> list[str]:
        """What came after the last newline, if anything."""
        line = self._end("")
        return [line] if line else []

    def _grow(self, part: str) -> None:
        if not self._cut:
            self._begun += part
            self._cut = len(self._begun) > self._limit

    def _end(self, part: str) -> str | None:
        self._grow(part)
        line = self._begun.rstrip("\r").rpartition("\r")[2]
        cut = self._cut
        self._begun, self._cut = "", False
        data = line.encode(errors="replace")
        if cut or len(data) > self._limit:
            return data[: self._limit].decode(errors="ignore") + CUT
        return line


class Redactor:
    """Blots secrets out of texts: the given ones, and credentials in any URL."""

    def __init__(self, secrets: Iterable[str]) -> None:
        parts = {part for secret in secrets for part in [secret, *secret.splitlines()]}
        known = sorted((p for p in parts if len(p.strip()) >= SHORTEST_SECRET), key=len)
        self._secrets = re.compile("|".join(map(re.escape, reversed(known)))) if known else None

    def __call__(self, text: str) -> str:
        """The text without them."""
        if self._secrets is not None:
            text = self._secrets.sub(BLOT, text)
        return _CREDENTIALS.sub(BLOT + "@", text) if "://" in text else text


def url_secrets(url: str) -> list[str]:
    """The secrets in a Git URL, as written and as decoded.

    A password is one, and so is a user name that stands alone in an HTTP URL,
    which is how tokens are given; the ``git`` of ``ssh://git@…`` is none.
    """
    try:
        parts = urlsplit(url)
        user, password = parts.username, parts.password
    except ValueError:
        return []
    alone = user if parts.scheme in ("http", "https") and password is None else None
    raw = [secret for secret in (password, alone) if secret]
    return raw + [unquote(secret) for secret in raw]


def credentials(url: str) -> tuple[str, str] | None:
    """User and password of an HTTP URL, decoded; None without any."""
    if without_credentials(url) == url:
        return None
    parts = urlsplit(url)
    return unquote(parts.username or ""), unquote(parts.password or "")


def origin(url: str) -> str:
    """Scheme, host and port of a URL, which is where its credentials may be shown."""
    parts = urlsplit(without_credentials(url))
    return f"{parts.scheme}://{parts.netloc}"


def without_credentials(url: str) -> str:
    """An HTTP URL without user and password; another kind of URL as it is."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
