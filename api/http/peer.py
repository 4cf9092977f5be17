"""Determine the client's address and scheme behind trusted proxies.

gunicorn's gevent worker leaves the proxy headers to the application; this is the only
module that reads them.
"""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, NamedTuple

import falcon

from mist.addresses import parse_ip

# The IPv4-mapped addresses that a dual-stack socket reports (RFC 4291 §2.5.5.2).
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class Peer(NamedTuple):
    """The client's network address, and the scheme it uses: ``http`` or ``https``."""

    address: str
    scheme: str


def peer(req: falcon.Request) -> Peer:
    """Return the client as the outermost trusted proxy saw it.

    Read ``X-Forwarded-For`` from its end: each trusted proxy appends the address of its
    own client, while values that the client itself sent come first.  Stop at the first
    value that is not an address.
    """
    trusted = _networks(req.context.services.settings.server.forwarded_allow_ips)
    remote: str = req.env.get("REMOTE_ADDR") or ""
    address = str(parse_ip(remote) or remote)
    scheme = req.scheme
    if not _is_trusted(address, trusted):  # a direct client can write any header
        return Peer(address, scheme)
    # The last value is the one that the trusted proxy next to us added.
    forwarded = (req.get_header("X-Forwarded-Proto") or scheme).rpartition(",")[2].strip().lower()
    if forwarded in {"http", "https"}:
        scheme = forwarded
    for hop in reversed((req.get_header("X-Forwarded-For") or "").split(",")):
        client = parse_ip(hop.strip())
        if client is None or not _is_trusted(address, trusted):
            break
        address = str(client)
    return Peer(address, scheme)


# The setting never changes within a process.
@cache
def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...] | None:
    """Return the networks of ``server.forwarded_allow_ips``, or None for ``*`` (any)."""
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


def _is_trusted(address: str, trusted: tuple[IPv4Network | IPv6Network, ...] | None) -> bool:
    """Return True if a proxy at ``address`` is trusted; a Unix socket has none and always is."""
    if trusted is None or not address:
        return True
    parsed = parse_ip(address)
    return parsed is not None and any(parsed in network for network in trusted)
