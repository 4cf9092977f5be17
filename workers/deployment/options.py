"""Apply the options of an application: volumes, labels, networks, limits and command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
from docker import APIClient

from mist.apps.options import Volume, volume
from mist.errors import UsageError
from mist.settings import Settings
from mist.store.records import App
from workers.deployment import ownership, volumes
from workers.deployment.errors import DeploymentError
from workers.references import Inspection, network_mode

# The paths, as JSON, at which the application and not an earlier container asked for volumes.
_VOLUMES: Final = "mist.volumes"


def check(settings: Settings, app: App) -> None:
    """Raise DeploymentError or NoSuchNetwork for what this host does not allow or have."""
    for name in networks(settings, app):
        network_mode(settings, name)
    for given in _wanted(settings, app):
        if given.is_host_path:
            _check_links(given.source, settings.deployments.host_paths)


def networks(settings: Settings, app: App) -> tuple[str, ...]:
    """Return the names of the container's networks; the container is created in the first."""
    return app.options.networks or (settings.deployments.network,)


def connect(client: APIClient, settings: Settings, app: App, container: str) -> None:
    """Attach a container that was not started yet to its other networks."""
    for name in networks(settings, app)[1:]:
        client.connect_container_to_network(container, network_mode(settings, name))


def mounts(settings: Settings, app: App, old: Inspection | None) -> list[volumes.Mount] | None:
    """Return the mounts of the new container: the application's, and what ``old`` leaves it."""
    own = [_mount(given) for given in _wanted(settings, app)]
    taken = {mount["Target"] for mount in own} | (_former(old) if old else set())
    carried = volumes.carried(old) if old else []
    # An empty list would do, but None is what a container without mounts had before.
    return [*(m for m in carried if volumes.path(m["Target"]) not in taken), *own] or None


def limits(app: App) -> dict[str, Any]:
    """Return docker-py's arguments for the host configuration."""
    options = app.options
    found: dict[str, Any] = {}
    if options.memory is not None:
        found["mem_limit"] = options.memory
    if options.cpus is not None:
        found["nano_cpus"] = round(options.cpus * 1e9)
    return found


def labels(app: App) -> dict[str, str]:
    """Return the application's own labels, and the paths of its volumes for the next deployment."""
    # Set without volumes, too: otherwise a label of the image would count.
    return app.options.labels | {_VOLUMES: msgspec.json.encode(paths(app)).decode()}


def paths(app: App) -> list[str]:
    """Return the paths in the container of the volumes that the application asks for."""
    return [given.path for given in _parsed(app)]


def notes(app: App, old: Inspection | None) -> Iterator[str]:
    """Yield lines for the log about mounts of ``old`` that the new container does not have."""
    if old is None:
        return
    own = {given.path: given.source for given in _parsed(app)}
    former = _former(old)
    for mount in volumes.kept(old):
        path = volumes.path(mount["Destination"])
        source = mount["Name"] if mount["Type"] == "volume" else mount["Source"]
        if own[path] != source if path in own else path in former:
            yield f"No longer mounting {volumes.describe(mount)}; it is kept"


def _wanted(settings: Settings, app: App) -> list[Volume]:
    """Return the application's volumes; raise DeploymentError if a setting forbids one now."""
    try:
        allowed = settings.deployments.host_paths
        return [volume(text, allowed) for text in app.options.volumes]
    except UsageError as error:
        raise DeploymentError(f"The application's volumes: {error}") from None


def _parsed(app: App) -> list[Volume]:
    return [volume(text, ("/",)) for text in app.options.volumes]


def _mount(given: Volume) -> volumes.Mount:
    return {
        "Type": "bind" if given.is_host_path else "volume",
        "Source": given.source,
        "Target": given.path,
        "ReadOnly": given.read_only,
    }


def _former(old: Inspection) -> set[str]:
    """Return the paths for which the application asked when ``old`` was created."""
    # A label is arbitrary text.
    with suppress(msgspec.MsgspecError):
        text = ownership.labels_of(old).get(_VOLUMES, "[]")
        return set(map(volumes.path, msgspec.json.decode(text, type=list[str])))
    return set()


def _check_links(source: str, allowed: tuple[str, ...]) -> None:
    """Raise DeploymentError for a symbolic link that leads out of the allowed paths.

    A container that may write to a volume can make such a link.
    """
    real = os.path.realpath(source)
    bases = [os.path.realpath(prefix).rstrip("/") for prefix in allowed]
    if not any(real == base or real.startswith(base + "/") for base in bases):
        raise DeploymentError(
            f"The volume {source!r} leads to {real!r}, which deployments.host_paths does not allow"
        )
