"""Who is at the other end, when a trusted proxy stands in between.

The worker of gunicorn that serves here leaves the proxy's headers to the
application, so they are read in this one place.
"""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, NamedTuple

import falcon

from mist.addresses import parse_ip

#: The IPv4 addresses that an IPv6 socket reports (RFC 4291 §2.5.5.2).
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class Peer(NamedTuple):
    """The client's network address, and the scheme (http or https) that it speaks."""

    address: str
    scheme: str


def peer(req: falcon.Request) -> Peer:
    """The client as the last trusted proxy saw it.

    ``X-Forwarded-For`` is read from its end: each trusted proxy appended the
    address that it was asked from, and what a client wrote itself comes first.  What is
    not an address is not believed.
    """
    trusted = _networks(req.context.services.settings.server.forwarded_allow_ips)
    remote: str = req.env.get("REMOTE_ADDR") or ""
    address = str(parse_ip(remote) or remote)
    scheme = req.scheme
    if not _is_trusted(address, trusted):
        return Peer(address, scheme)
    forwarded = (req.get_header("X-Forwarded-Proto") or scheme).rpartition(",")[2].strip().lower()
    if forwarded in {"http", "https"}:
        scheme = forwarded
    for hop in reversed((req.get_header("X-Forwarded-For") or "").split(",")):
        client = parse_ip(hop.strip())
        if client is None or not _is_trusted(address, trusted):
            break
        address = str(client)
    return Peer(address, scheme)


@cache
def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...] | None:
    """The networks of ``server.forwarded_allow_ips``; None for ``*``, which is all of them."""
    names = text.replace(",", " ").split()
    if "*" in names:
        return None
    return tuple(_unmapped(ip_network(each, strict=False)) for each in names)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return the IPv4 network that ``::ffff:192.0.2.0/120`` stands for."""
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED.prefixlen:
        address = network.network_address.ipv4_mapped
        if address is not None:
            return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network


def _is_trusted(address: str, trusted: tuple[IPv4Network | IPv6Network, ...] | None) -> bool:
    """Whether a proxy at ``address`` is believed; one on a Unix socket has none and is."""
    if trusted is None or not address:
        return True
    parsed = parse_ip(address)
    return parsed is not None and any(parsed in network for network in trusted)
