"""The address of a service, and the options of its connections."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import warnings
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from mist_client.retry import Retry
from mist_client.version import __version__

CA = ssl.SSLContext | str | os.PathLike[str] | None

AGENT: Final = f"mist-client/{__version__}"
# A line has at most 1 MiB, and JSON may write each byte as six.
MESSAGE_BYTES: Final = 8 * 1024 * 1024
# A peer that has gone silent is noticed after twice this time.
PING_SECONDS: Final = 15.0
# How long the closing handshake may take.
CLOSE_SECONDS: Final = 1.0


class Service(NamedTuple):
    """Where a service is, and how to connect to it."""

    url: str
    """Without a slash at its end."""
    headers: Mapping[str, str]
    tls: ssl.SSLContext
    timeout: float
    retry: Retry

    @property
    def socket_tls(self) -> ssl.SSLContext | None:
        """The context for a WebSocket; None without TLS."""
        return self.tls if self.url.startswith("https://") else None

    def socket_url(self, path: str, query: Mapping[str, str | int | None]) -> str:
        """Return the address of a WebSocket."""
        given = urlencode({name: value for name, value in query.items() if value is not None})
        return f"ws{self.url.removeprefix('http')}{path}" + (f"?{given}" if given else "")


def service(url: str, token: str | None, ca: CA, timeout: float, retry: Retry | None) -> Service:
    """Return a checked service; raise ValueError that says what is wrong."""
    root = _checked(url)
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        raise ValueError("the token is empty or has characters that no token has; copy it again")
    if not timeout > 0:
        raise ValueError(f"timeout must be more than 0 seconds, not {timeout!r}")
    headers = {"User-Agent": AGENT}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return Service(root, headers, _context(ca), timeout, retry or Retry())


def warn_if_unencrypted(url: str, secret: str) -> None:
    """Warn the caller of a client's method that it sends a secret over HTTP to another machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http" and not _is_loopback(host):
        warnings.warn(
            f"the {secret} goes to {host} without encryption; use https://",
            stacklevel=3,
        )


def target(app_id: int | None, container: str | None) -> dict[str, str | int | None]:
    """Return the parameters of a stream that name its container."""
    if (app_id is None) == (container is None):
        raise TypeError("give either app_id or container")
    return {"appId": app_id, "container": container}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    strange = re.search(r"[\s\0-\x1f]", url) or parts.query or parts.fragment
    if not host or strange or parts.scheme not in {"http", "https"}:
        raise ValueError(f"{url[:200]!r} is not the address of a service such as https://mist.lan")
    if parts.username or parts.password:
        raise ValueError("the address must not contain a password; use a token, or login()")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _context(ca: CA) -> ssl.SSLContext:
    """Return a context that trusts a private CA, or by default those of the system."""
    if isinstance(ca, ssl.SSLContext):
        return ca
    if ca is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ValueError(f"ca: {os.fspath(ca)!r} has no certificate of a CA ({error})") from None
