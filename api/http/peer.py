"""Determine the client's address and scheme behind trusted proxies.

gunicorn's gevent worker leaves the proxy headers to the application; this is the only
module that reads them.
"""

from __future__ import annotations

from typing import NamedTuple

import falcon

from mist.addresses import parse_ip
from mist.networks import is_trusted, network_of


class Peer(NamedTuple):
    """The client's network address, and the scheme it uses: ``http`` or ``https``.

    ``shared`` is True for a trusted proxy that does not name its client: many clients may
    have this address.
    """

    address: str
    scheme: str
    shared: bool = False

    @property
    def network(self) -> str:
        """The range that the client easily controls: an IPv4 address or an IPv6 /64."""
        return network_of(self.address)


def peer(req: falcon.Request) -> Peer:
    """Return the client as the outermost trusted proxy saw it.

    Read ``X-Forwarded-For`` from its end: each trusted proxy appends the address of its
    own client, while values that the client itself sent come first.  Stop at the first
    value that is not an address.
    """
    proxies = req.context.services.settings.server.forwarded_allow_ips
    remote: str = req.env.get("REMOTE_ADDR") or ""
    address = str(parse_ip(remote) or remote)
    scheme = req.scheme
    if not is_trusted(address, proxies):  # a direct client can write any header
        return Peer(address, scheme)
    # The last value is the one that the trusted proxy next to us added.
    forwarded = (req.get_header("X-Forwarded-Proto") or scheme).rpartition(",")[2].strip().lower()
    if forwarded in {"http", "https"}:
        scheme = forwarded
    shared = True
    for hop in reversed((req.get_header("X-Forwarded-For") or "").split(",")):
        client = parse_ip(hop.strip())
        if client is None or not is_trusted(address, proxies):
            break
        address, shared = str(client), False
    return Peer(address, scheme, shared)
