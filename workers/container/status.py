"""What a published status says of a container, without I/O."""

from __future__ import annotations

import time
from typing import NamedTuple

from mist import messages, uptime
from mist.messages import ContainerRun, ContainerStatus
from workers.container.container import Container


class Shown(NamedTuple):
    """What clients know of a container; a status is published when it changes."""

    container: str
    started: str
    state: str
    health: str

    @classmethod
    def of(cls, container: Container | None) -> Shown:
        """Return what a status of this container shows; None if it was removed."""
        if container is None:
            return cls("", "", "exited", "")
        return cls(container.id, container.started, container.state, container.health)


def encode(name: str, container: Container | None, words: str, installation: str) -> bytes:
    """Return the ``status`` message of a container; None if it was removed.

    ``words`` is the engine's phrase for its state, and ``installation`` the id of this
    installation, whose deployments are named.
    """
    seen = Shown.of(container)
    if container is None:
        data, began = ContainerStatus(name, seen.state, "Removed"), ""
    else:
        began = uptime.began(words, container.turned, time.time_ns())
        ours = installation != "" and container.installation == installation
        deployment = container.deployment if ours else None
        data = ContainerStatus(name, seen.state, words, deployment)
    run = ContainerRun(seen.container, seen.started, seen.health, began)
    return messages.container_status(data, run)


def decode(message: bytes) -> Shown | None:
    """Return what a message of :func:`encode` shows; None for another status."""
    state, run = messages.read_run(message)
    return Shown(run.id, run.started, state, run.health) if run else None
