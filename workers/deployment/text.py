"""Turn a program's raw output into lines for a log, without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import StringIO
from typing import Final
from urllib.parse import unquote, urlsplit

# Shorter values are not worth hiding, and replacing every "1" would spoil the log.
SHORTEST_SECRET: Final = 4

BLOT: Final = "***"
CUT: Final = " … [truncated]"

# ``user:password@`` in a URL of any scheme.
_CREDENTIALS = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*@")


class Lines:
    """A joiner of output pieces to lines of at most ``limit`` bytes.

    A carriage return restarts the line, as on a terminal, so that only the last state of
    a progress display remains.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # A string would be copied for each piece, and a program may write single characters.
        self._begun = StringIO()
        self._returned = False

    def feed(self, piece: str) -> list[str]:
        """Return the lines that ``piece`` completes."""
        *whole, rest = piece.split("\n")
        lines = [self._end(part) for part in whole]
        self._grow(rest)
        return lines

    def rest(self) -> list[str]:
        """Return the text after the last newline, if there is any."""
        line = self._end("")
        return [line] if line else []

    def _grow(self, part: str) -> None:
        # A trailing carriage return may belong to CR LF.
        text = part.rstrip("\r")
        if text:
            shown = text.rpartition("\r")[2]
            if self._returned or len(shown) < len(text):
                self._begun = StringIO()
            # Beyond the limit nothing is kept, so that endless lines take no memory.
            self._begun.write(shown[: self._limit + 1 - self._begun.tell()])
            self._returned = False
        self._returned |= len(text) < len(part)

    def _end(self, part: str) -> str:
        self._grow(part)
        line = self._begun.getvalue()
        self._begun, self._returned = StringIO(), False
        return cut(line, self._limit)


def cut(text: str, limit: int) -> str:
    """Return the text with at most ``limit`` bytes of it, in valid UTF-8."""
    data = text.encode(errors="replace")
    return data[:limit].decode(errors="ignore") + CUT if len(data) > limit else data.decode()


class Redactor:
    """Replaces secrets in texts: the given ones, and credentials in any URL."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Output is redacted line by line, so the lines of a secret are secrets, too.
        parts = {part for secret in secrets for part in [secret, *secret.splitlines()]}
        known = sorted((p for p in parts if len(p.strip()) >= SHORTEST_SECRET), key=len)
        # Longest first, so that a secret within another leaves no remainder of the longer one.
        self._secrets = re.compile("|".join(map(re.escape, reversed(known)))) if known else None

    def __call__(self, text: str) -> str:
        """Return the text with its secrets replaced."""
        if self._secrets is not None:
            text = self._secrets.sub(BLOT, text)
        return _CREDENTIALS.sub(BLOT + "@", text) if "://" in text else text


def url_secrets(url: str) -> list[str]:
    """Return the secrets in a Git URL, as written and decoded.

    A password is a secret.  So is a user name without a password in an HTTP URL, which is
    how tokens are given; the ``git`` in ``ssh://git@…`` is not.
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
    """Return the decoded user and password of an HTTP URL, or None without them."""
    if without_credentials(url) == url:
        return None
    parts = urlsplit(url)
    return unquote(parts.username or ""), unquote(parts.password or "")


def origin(url: str) -> str:
    """Return a URL's scheme, host and port: the only server that may see its credentials."""
    parts = urlsplit(without_credentials(url))
    # Git compares an underscore, which names of containers have, in this form.
    return f"{parts.scheme}://{parts.netloc.replace('_', '%5F')}"


def without_credentials(url: str) -> str:
    """Return an HTTP URL without user and password; return other URLs unchanged."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
