"""Tests of which proxies are trusted and what counts as one client."""

from __future__ import annotations

import pytest

from mist.networks import is_trusted, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("", ""),
        ("x" * 300, "x" * 64),
    ],
)
def test_one_client_has_one_network(address: str, network: str) -> None:
    """An IPv4 address or an IPv6 network of 64 bits; anything else stands for itself."""
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("address", "proxies", "trusted"),
    [
        ("127.0.0.1", "127.0.0.1,::1", True),
        ("::ffff:127.0.0.1", "127.0.0.1,::1", True),
        ("127.0.0.2", "127.0.0.1,::1", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "::ffff:10.0.0.0/104", True),
        ("192.0.2.1", "*", True),
        ("", "127.0.0.1", True),  # a Unix socket
        ("nonsense", "127.0.0.1", False),
        ("127.0.0.1", "", False),
    ],
)
def test_a_proxy_is_trusted_by_its_address(address: str, proxies: str, trusted: bool) -> None:
    """The setting holds addresses and networks, or ``*`` for any."""
    assert is_trusted(address, proxies) is trusted
