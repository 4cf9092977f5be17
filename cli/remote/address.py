"""The address of a service on another machine, and whose certificates it may have."""

from __future__ import annotations

import os
import re
import ssl
from typing import Final
from urllib.parse import urlsplit

from cli import terminal
from mist.errors import UsageError

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def checked(url: str) -> str:
    """Return the address without a slash at its end, or raise UsageError."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    strange = re.search(r"[\s\0-\x1f]", url) or parts.query or parts.fragment
    if not host or strange or parts.scheme not in {"http", "https"}:
        raise UsageError(f"{url[:200]!r} is not the address of a service such as https://mist.lan")
    if parts.username or parts.password:
        raise UsageError("the address must not contain a password; use a token")
    if parts.scheme == "http" and host not in _LOOPBACK:
        terminal.note(f"mist: the token goes to {host} without encryption; use https://")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def authorities() -> str | bool:
    """Return where the certificates of trusted CAs are: what OpenSSL and so the streams use."""
    named = os.environ.get("SSL_CERT_FILE")
    if named and not os.path.isfile(named):
        raise UsageError(f"SSL_CERT_FILE names {named!r}, which is not a file")
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True
