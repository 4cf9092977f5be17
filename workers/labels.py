"""The labels of every container that a deployment creates, and its name before it is up."""

from __future__ import annotations

from typing import Final

INSTALLATION: Final = "mist.installation"
APP: Final = "mist.app"
DEPLOYMENT: Final = "mist.deployment"
# The time at which the deployment was requested, to the nanosecond.
QUEUED: Final = "mist.queued"
# The full id of the container that it replaces, or nothing.
REPLACES: Final = "mist.replaces"
# "yes" if that one was running.
WAS_RUNNING: Final = "mist.replaces-running"


def side_name(container: str, role: str, deployment: object) -> str:
    """Return the name of a container next to the application's while a deployment replaces it.

    ``role`` is ``before`` for the old container, or ``new``.
    """
    return f"{container}-{role}-{deployment}"
