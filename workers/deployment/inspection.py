"""Read the engine's description of a container."""

from __future__ import annotations

from docker import APIClient
from docker.errors import NotFound

from mist import clock
from workers.references import Inspection


def by_id(client: APIClient, full_id: str) -> Inspection | None:
    """Return the container of this full id; the engine would accept prefixes and names."""
    if not full_id:
        return None
    try:
        found: Inspection = client.inspect_container(full_id)
    except NotFound:
        return None
    return found if found["Id"] == full_id else None


def name_of(found: Inspection) -> str:
    """Return the container's name."""
    return str(found["Name"]).removeprefix("/")


def is_up(found: Inspection) -> bool:
    """Return True if the container runs, or waits for its restart."""
    return bool(found["State"]["Running"] or found["State"]["Restarting"])


def health(found: Inspection) -> str:
    """Return the result of the health check; empty for a container without one."""
    status = str((found["State"].get("Health") or {}).get("Status", ""))
    # The engine's word for a health check that was disabled.
    return "" if status == "none" else status


def moment(found: Inspection, field: str) -> float:
    """Return a time in the container's state, such as ``StartedAt``, in epoch seconds."""
    return clock.nanoseconds(clock.normalize(found["State"][field])) / 1e9
