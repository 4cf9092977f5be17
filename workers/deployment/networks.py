"""Take over the old container's networks and aliases.

An operator can attach a container to further networks (``docker network connect``), and
give it aliases, which are DNS names there.  The engine sets the aliases of a container when
it joins a network, so the new one leaves and joins a network on which it lacks any.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
from docker import APIClient
from docker.errors import NotFound

from mist.settings import Settings
from workers.deployment import ownership
from workers.references import Inspection, NoSuchNetwork, network_mode

# The networks, as JSON, for which the settings and the application asked.
_NETWORKS: Final = "mist.networks"
# Networks without DNS names.
_BUILT_IN: Final = frozenset({"bridge", "host", "none"})
# The beginnings of a ``NetworkMode`` with which a container cannot join further networks.
_ALONE: Final = frozenset({"host", "none", "container"})


def labels(names: tuple[str, ...]) -> dict[str, str]:
    """Return the label that tells these networks from those that an operator attaches later."""
    return {_NETWORKS: msgspec.json.encode(names).decode()}


def attach(
    client: APIClient, settings: Settings, old: Inspection, new: Inspection
) -> Iterator[str]:
    """Attach ``new``, which was not started yet, to the networks that an operator gave ``old``.

    Yield lines for the log.
    """
    joined = new["NetworkSettings"]["Networks"]
    mode = str(new["HostConfig"].get("NetworkMode", "")).partition(":")[0]
    for name, endpoint in _endpoints(old):
        fixed = (endpoint.get("IPAMConfig") or {}).get("IPv4Address")
        if fixed:  # an address can be that of one container only
            yield f"The address {fixed} in {name} stays that of the previous container only"
        if {name, endpoint.get("NetworkID")} & {*joined, *_asked(old, [name])}:
            continue
        if mode in _ALONE:
            yield f"Not attached to the network {name}: the network mode {mode!r} excludes others"
            continue
        # Looked up, because the engine misses a network only when it starts the container.
        try:
            client.connect_container_to_network(new["Id"], network_mode(settings, name))
        except (NoSuchNetwork, NotFound):  # removed since the old container stopped
            yield f"The previous container's network {name} does not exist any more"
        else:
            yield f"Attached to the network {name}, as the previous container"


def take_aliases(client: APIClient, old: Inspection, new: Inspection) -> Iterator[str]:
    """Give ``new`` the aliases of ``old``; yield lines for the log.

    Both answer to them from then on.  A program that runs in ``new`` loses the connections
    that it has in such a network.
    """
    joined = dict(_endpoints(new))
    for name, endpoint in _endpoints(old):
        wanted, present = _aliases(old, endpoint), _aliases(new, joined.get(name, {}))
        if name in joined and not set(wanted) <= set(present):
            client.disconnect_container_from_network(new["Id"], name)
            every = list(dict.fromkeys([*present, *wanted]))
            client.connect_container_to_network(new["Id"], name, aliases=every)
            yield f"Has the aliases of the previous container in {name}: {', '.join(wanted)}"


def _endpoints(found: Inspection) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the networks with DNS names that the container is attached to."""
    for name, endpoint in found["NetworkSettings"]["Networks"].items():
        if name not in _BUILT_IN:
            yield name, endpoint


def _aliases(found: Inspection, endpoint: dict[str, Any]) -> list[str]:
    """Return the aliases in a network, without the one that the engine adds."""
    return [alias for alias in endpoint.get("Aliases") or () if alias != found["Id"][:12]]


def _asked(old: Inspection, unknown: list[str]) -> list[str]:
    """Return the networks for which the deployment that made ``old`` asked, or ``unknown``."""
    # Unknown of a container that Mist did not make, or an earlier version did.  A label is
    # arbitrary text.
    with suppress(KeyError, msgspec.MsgspecError):
        return msgspec.json.decode(ownership.labels_of(old)[_NETWORKS], type=list[str])
    return unknown
