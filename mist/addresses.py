"""Addresses: the one that the web tier listens on, and those that clients come from."""

from __future__ import annotations

import errno
import re
import socket
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from mist import validation
from mist.errors import Exit, MistError, UsageError

#: How long the web workers of a master that was killed may hold its port, in seconds.
_PORT_SECONDS: Final = 5.0
_PORT_POLL_SECONDS: Final = 0.05

#: ``192.0.2.1:4711``, ``[2001:db8::1]`` or ``[2001:db8::1]:4711``, as some proxies write a client.
_WITH_PORT: Final = re.compile(r"([0-9.]+):[0-9]{1,5}|\[([^\[\]]+)\](?::[0-9]{1,5})?")

_HOW: Final = "--bind HOST:PORT or server.bind"


class CannotListen(MistError):
    """The web tier's address cannot be used; the text says why and what to do."""

    exit_status = Exit.UNAVAILABLE

    def __init__(self, bind: str, reason: str, advice: str) -> None:
        super().__init__(bind, reason, advice)
        self.bind = bind
        self.reason = reason
        self.advice = advice

    def __str__(self) -> str:
        return f"cannot listen on {self.bind}: {self.reason}; {self.advice}"


class PortInUse(CannotListen):
    """Another process listens there; it may be about to end."""


def check_port(bind: str) -> None:
    """Raise CannotListen, or UsageError for what is no address, before anything is started."""
    host, port = split_address(bind)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except UnicodeError:  # a name that cannot be one, such as "a..b"
        raise _no_such_host(bind) from None
    except OSError as error:
        raise _explained(bind, port, error) from None


def await_port(bind: str) -> None:
    """Wait a moment for a port in use, and then do as ``check_port`` does."""
    deadline = time.monotonic() + _PORT_SECONDS
    while True:
        try:
            check_port(bind)
            return
        except PortInUse:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PORT_POLL_SECONDS)


def split_address(bind: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` or ``[IPV6]:PORT``; UsageError for anything else."""
    host, colon, port = bind.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or not port or "/" in bind:
        raise UsageError(f"{bind[:80]!r} is no address; write HOST:PORT, such as 127.0.0.1:8420")
    if ":" in host and not bracketed:
        raise UsageError(f"{bind[:80]!r}: put an IPv6 address in brackets, such as [::1]:8420")
    try:
        return host.strip("[]"), validation.port(port)
    except UsageError as error:
        raise UsageError(f"{bind[:80]!r}: {error}") from None


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that ``text`` names, or None.

    Each address has one form here, so that spellings cannot be told apart: without port
    and zone, and an IPv4 address that a dual-stack socket reports as ``::ffff:192.0.2.1``
    (RFC 4291 §2.5.5.2) is that IPv4 address.
    """
    with_port = _WITH_PORT.fullmatch(text)
    if with_port:
        text = with_port[1] or with_port[2]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _explained(bind: str, port: int, error: OSError) -> CannotListen:
    if isinstance(error, socket.gaierror):
        return _no_such_host(bind)
    if error.errno == errno.EADDRINUSE:
        advice = (
            f"stop what listens there (`ss -ltnp 'sport = :{port}'` shows it), "
            f"or choose another port with {_HOW}"
        )
        return PortInUse(bind, f"port {port} is in use", advice)
    if isinstance(error, PermissionError):
        advice = f"ports below 1024 are root's; choose another with {_HOW}"
        return CannotListen(bind, "no permission", advice)
    reason = (error.strerror or str(error)).lower()
    return CannotListen(bind, reason, f"choose another address with {_HOW}")


def _no_such_host(bind: str) -> CannotListen:
    return CannotListen(bind, "no such host", f"name an address of this machine with {_HOW}")
