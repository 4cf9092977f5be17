"""Describe a container that a deployment may replace once ``mist app adopt`` allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from mist import validation
from mist.adoptable import Adoptable, Fact
from mist.errors import Conflict, NotFound
from mist.settings import Settings
from mist.sizes import human
from mist.store import App, Store
from workers import engine, references
from workers.deployment import ownership, volumes

_KEPT: Final = "carried over"
_LOST: Final = "not carried over"

# Limits in the engine's ``HostConfig`` ("Create a container"); 0 or less means no limit.
_LIMITS: Final[dict[str, Callable[[int], str]]] = {
    "Memory": lambda value: f"{human(value)} of memory",
    "MemorySwap": lambda value: f"{human(value)} of memory and swap",
    "NanoCpus": lambda value: f"{value / 1e9:g} CPUs",
    "CpuQuota": lambda value: f"a CPU quota of {value} µs",
    "CpuShares": lambda value: f"{value} CPU shares",
    "PidsLimit": lambda value: f"{value} processes",
}


def look(store: Store, settings: Settings, app: App) -> Adoptable:
    """Describe the container with the application's container name.

    Raise NotFound or Conflict if there is nothing to adopt.
    """
    found = _adoptable(store, settings, app)
    return Adoptable(
        found["Id"],
        found["State"]["Status"],
        list(_facts(found, app, settings)),
        list(_notes(found)),
    )


def _adoptable(store: Store, settings: Settings, app: App) -> dict[str, Any]:
    """Return the engine's description of the container; raise NotFound or Conflict."""
    if app.git_url is None:
        raise Conflict(f"{app.name} has no Git repository, so no deployment replaces its container")
    # The engine itself would also accept the beginning of an id.
    found = references.find_container(settings, app.container)
    if found is None:
        raise NotFound(
            f"there is no container {app.container!r} to adopt; `mist deploy {app.name}` creates it"
        )
    if ownership.owner(store, found) == app.id:  # the next deployment replaces it anyway
        raise Conflict(f"a deployment of {app.name} created the container {app.container!r}")
    if store.apps.adopted(app.id) == found["Id"]:
        raise Conflict(
            f"{app.name} has already adopted the container {app.container!r}; "
            f"`mist deploy {app.name}` will replace it"
        )
    text, adoptable = ownership.stranger(store, app, found)
    if not adoptable:
        raise Conflict(text)
    # ``size`` makes the engine measure the files outside of mounts, which may take seconds.
    return dict(engine.get_json(settings, f"/containers/{found['Id']}/json", size=1))


def _facts(found: dict[str, Any], app: App, settings: Settings) -> Iterator[Fact]:
    host = found["HostConfig"]
    source = validation.public_git_url(app.git_url or "")  # without a password
    yield Fact("image", found["Config"]["Image"], f"replaced by an image built from {source}")
    for inside, outside in sorted((host["PortBindings"] or {}).items()):
        for binding in outside or ():
            same = inside == f"{app.port}/tcp" and binding["HostPort"] == str(app.port)
            now = f"{binding['HostIp'] or '*'}:{binding['HostPort'] or '(any)'} -> {inside}"
            then = f"published on {settings.deployments.publish_address}" if same else _LOST
            yield Fact("port", now, then)
    for mount in sorted(found["Mounts"], key=lambda mount: str(mount["Destination"])):
        then = _KEPT if mount["Type"] in volumes.KEPT else _LOST
        yield Fact("mount", volumes.describe(mount), then)
    for path in sorted(host.get("Tmpfs") or {}):
        yield Fact("mount", f"tmpfs at {path}", _LOST)
    for key, words in _LIMITS.items():
        if (host.get(key) or 0) > 0:  # -1 and 0 mean no limit
            yield Fact("limit", words(host[key]), _LOST)
    network = settings.deployments.network or "bridge"  # the engine's default
    for name in sorted(found["NetworkSettings"]["Networks"]):
        yield Fact("network", name, _KEPT if name == network else _LOST)
    # Names only: values may be secret. Almost every image sets PATH.
    variables = sorted({text.partition("=")[0] for text in found["Config"]["Env"] or ()} - {"PATH"})
    for name in variables:
        yield Fact("variable", name, "set by the application" if name in app.env else _LOST)
    if found.get("SizeRw"):
        yield Fact("files", f"{human(found['SizeRw'])} outside of mounts", "removed with it")


def _notes(found: dict[str, Any]) -> Iterator[str]:
    """Yield warnings about side effects of replacing the container."""
    if found["HostConfig"]["AutoRemove"]:
        yield (
            "The engine removes it once it is stopped (--rm), so a failed deployment cannot\n"
            "bring it back. Its volumes are kept."
        )
    project = (found["Config"]["Labels"] or {}).get("com.docker.compose.project")
    if project:
        yield f"It belongs to the Compose project {project}: remove it from that project, too."
