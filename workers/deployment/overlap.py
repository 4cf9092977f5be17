"""Decide if the old and the new container may run at the same time.

Only what the engine says of the two counts, and only what does not change while they exist.
So another runner, which cleans up after a crash, comes to the same decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from workers.deployment import volumes
from workers.references import Inspection

# Values of ``NetworkMode`` with which containers listen on the same addresses.
_HOST: Final = "host"
_CONTAINER_MODE: Final = "container:"
# Values of ``HostPort`` for which the engine chooses a port.
_RANDOM: Final = frozenset({None, "", "0"})


def obstacle(old: Inspection, new: Inspection) -> str:
    """Return the reason why ``new`` cannot run before ``old`` is stopped; empty without one."""
    return next(_obstacles(old, new), "")


def has_health_check(found: Inspection) -> bool:
    """Return True if the engine checks the container's health, by its image or by itself."""
    test = (found["Config"].get("Healthcheck") or {}).get("Test") or ["NONE"]
    return bool(test[0] != "NONE")


def _obstacles(old: Inspection, new: Inspection) -> Iterator[str]:
    if not has_health_check(new):
        yield "the new image has no HEALTHCHECK, which would tell when it is ready"
    for who, found in (("new", new), ("previous", old)):
        for publishes in _host_ports(found):
            yield f"the {who} container {publishes}"
        mode = str(found["HostConfig"].get("NetworkMode", ""))
        if mode == _HOST or mode.startswith(_CONTAINER_MODE):
            yield f"the {who} container shares the network of {_owner(mode)}"
    # A database, for example, must not have two processes on the same files.
    for mount in volumes.kept(new):
        if mount["RW"] and any(_same_data(mount, each) for each in volumes.kept(old)):
            yield f"both containers have {volumes.describe(mount)}, and the new one may write to it"


def _same_data(one: volumes.Mount, other: volumes.Mount) -> bool:
    """Return True if two mounts are the same volume, or paths of the host that overlap."""
    if "volume" in (one["Type"], other["Type"]):
        return one["Type"] == other["Type"] and bool(one["Name"] == other["Name"])
    paths = [volumes.path(mount["Source"]).rstrip("/") + "/" for mount in (one, other)]
    return paths[0].startswith(paths[1]) or paths[1].startswith(paths[0])


def _host_ports(found: Inspection) -> Iterator[str]:
    if found["HostConfig"].get("PublishAllPorts"):
        yield "publishes all its ports on random ports of the host"
    for inside, bindings in (found["HostConfig"].get("PortBindings") or {}).items():
        for binding in bindings or ():
            port = binding.get("HostPort")
            if port in _RANDOM:
                yield f"publishes port {inside} on a random port of the host"
            else:
                yield f"is published on port {port} of the host"


def _owner(mode: str) -> str:
    return "the host" if mode == _HOST else "another container"
