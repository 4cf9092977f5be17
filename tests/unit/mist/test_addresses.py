"""Tests of what ``mist up`` says about an address before it starts anything."""

from __future__ import annotations

import socket

import pytest

from mist.addresses import CannotListen, check_port, split_address
from mist.errors import Exit, UsageError


@pytest.mark.parametrize(
    ("bind", "parts"),
    [
        ("127.0.0.1:8420", ("127.0.0.1", 8420)),
        ("localhost:1", ("localhost", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
    ],
)
def test_addresses(bind: str, parts: tuple[str, int]) -> None:
    """Names, IPv4 addresses, and IPv6 addresses in brackets are accepted."""
    assert split_address(bind) == parts


@pytest.mark.parametrize(
    "bind",
    [
        *("", "8420", ":8420", "host:", "host:http", "host:0", "host:65536", "::1:80", "h:٣"),
        *("host:" + "9" * 5_000, "http://host:80", "tcp://0.0.0.0:80"),
    ],
)
def test_no_addresses(bind: str) -> None:
    """An invalid address is refused with the right form."""
    with pytest.raises(UsageError):
        split_address(bind)


def test_free_port() -> None:
    """A free port is accepted and stays free."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check_port(f"127.0.0.1:{port}")
    check_port(f"127.0.0.1:{port}")


def test_port_in_use() -> None:
    """A port in use is named in a message that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port} is in use.*--bind") as raised:
            check_port(f"127.0.0.1:{port}")
    assert raised.value.exit_status is Exit.UNAVAILABLE


def test_address_of_another_machine() -> None:
    """An address of another machine is refused (TEST-NET-1, RFC 5737)."""
    with pytest.raises(CannotListen, match="cannot assign requested address"):
        check_port("192.0.2.1:8420")
