"""The networks of clients: which proxies are trusted, and what one client controls."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from mist.addresses import parse_ip

# The IPv4-mapped addresses that a dual-stack socket reports (RFC 4291 §2.5.5.2).
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


def network_of(address: str) -> str:
    """Return the range that one client easily controls: an IPv4 address or an IPv6 /64."""
    parsed = parse_ip(address)
    if parsed is None:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed)


def is_trusted(address: str, proxies: str) -> bool:
    """Return True if ``server.forwarded_allow_ips`` (``proxies``) has the proxy's address.

    A Unix socket has no address and is always trusted.
    """
    trusted = _networks(proxies)
    if trusted is None or not address:
        return True
    parsed = parse_ip(address)
    return parsed is not None and any(parsed in network for network in trusted)


# The setting never changes within a process.
@cache
def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...] | None:
    """Return the networks in the setting, or None for ``*`` (any)."""
    names = text.replace(",", " ").split()
    if "*" in names:
        return None
    return tuple(_unmapped(ip_network(each, strict=False)) for each in names)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return the IPv4 network that an IPv4-mapped one such as ``::ffff:192.0.2.0/120`` means."""
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED.prefixlen:
        address = network.network_address.ipv4_mapped
        if address is not None:
            return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network
