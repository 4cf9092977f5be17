"""Network addresses: parse the listening address and the addresses of clients."""

from __future__ import annotations

import errno
import re
import socket
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from mist import validation
from mist.errors import Exit, MistError, UsageError

# After a master was killed its workers hold the port until they notice, in seconds.
_PORT_SECONDS: Final = 5.0
_PORT_POLL_SECONDS: Final = 0.05

# ``192.0.2.1:4711``, ``[2001:db8::1]`` or ``[2001:db8::1]:4711``, as some proxies write clients.
_WITH_PORT: Final = re.compile(r"([0-9.]+):[0-9]{1,5}|\[([^\[\]]+)\](?::[0-9]{1,5})?")

_HOW: Final = "--bind HOST:PORT or server.bind"


class CannotListen(MistError):
    """The web tier cannot listen on its address; the text says why and what to do."""

    exit_status = Exit.UNAVAILABLE

    def __init__(self, bind: str, reason: str, advice: str) -> None:
        super().__init__(bind, reason, advice)
        self.bind = bind
        self.reason = reason
        self.advice = advice

    def __str__(self) -> str:
        return f"cannot listen on {self.bind}: {self.reason}; {self.advice}"


class PortInUse(CannotListen):
    """Another process, which may be about to exit, listens on the port."""


def check_port(bind: str) -> None:
    """Raise CannotListen if the address cannot be bound, UsageError if it is malformed.

    Called before anything is started, so that the message is the first thing the user sees.
    """
    host, port = split_address(bind)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # Otherwise connections in TIME_WAIT make a restart fail (socket(7)).
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Two sockets with SO_REUSEADDR can bind the same port; only listen() conflicts.
            probe.listen(1)
    except UnicodeError:  # the idna codec rejects names such as "a..b" with it
        raise _no_such_host(bind) from None
    except OSError as error:
        raise _explained(bind, port, error) from None


def await_port(bind: str) -> None:
    """Call ``check_port``, retrying for some seconds while the port is in use."""
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
    """Split ``HOST:PORT`` or ``[IPV6]:PORT``; raise UsageError for anything else."""
    host, colon, port = bind.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or not port or "/" in bind:
        raise UsageError(f"{bind[:80]!r} is not HOST:PORT, such as 127.0.0.1:8420")
    if ":" in host and not bracketed:
        raise UsageError(f"{bind[:80]!r}: put the IPv6 address in brackets, such as [::1]:8420")
    try:
        return host.strip("[]"), validation.port(port)
    except UsageError as error:
        raise UsageError(f"{bind[:80]!r}: {error}") from None


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address in ``text``, or None.

    Different spellings of one address compare equal: port and zone are dropped, and an
    IPv4 address that a dual-stack socket reports as ``::ffff:192.0.2.1``
    (RFC 4291 §2.5.5.2) becomes that IPv4 address.
    """
    with_port = _WITH_PORT.fullmatch(text)
    if with_port:
        text = with_port[1] or with_port[2]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A zone is only meaningful on the machine that reports it.
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _explained(bind: str, port: int, error: OSError) -> CannotListen:
    if isinstance(error, socket.gaierror):
        return _no_such_host(bind)
    if error.errno == errno.EADDRINUSE:
        advice = (
            f"stop the process that listens there (`ss -ltnp 'sport = :{port}'` shows it), "
            f"or choose another port with {_HOW}"
        )
        return PortInUse(bind, f"port {port} is in use", advice)
    if isinstance(error, PermissionError):
        advice = f"only root may use ports below 1024; choose another with {_HOW}"
        return CannotListen(bind, "permission denied", advice)
    reason = (error.strerror or str(error)).lower()
    return CannotListen(bind, reason, f"choose another address with {_HOW}")


def _no_such_host(bind: str) -> CannotListen:
    return CannotListen(bind, "no such host", f"use an address of this machine with {_HOW}")
