"""Tests of how a container is listed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mist import clock
from workers.containers.listing import Entry, Known, known_of

NOW = clock.nanoseconds("2026-01-02T05:00:00.000000000Z")


def known(status: str = "Up 2 hours", state: dict[str, Any] | None = None, **more: Any) -> Known:
    """Return a container whose parts may be replaced."""
    inspection: dict[str, Any] = {
        "Id": "a" * 64,
        "Name": "/web",
        "Created": "2026-01-02T01:00:00.5Z",
        "Config": {"Tty": False, "Labels": more.get("labels")},
        "HostConfig": {"AutoRemove": False, "NetworkMode": more.get("network", "bridge")},
        "State": {
            "Status": "running",
            "Running": True,
            "Restarting": False,
            "Pid": 7,
            "StartedAt": "2026-01-02T03:00:00Z",
        }
        | (state or {}),
    }
    entry = {"Id": "a" * 64, "Names": ["/web"], "Image": "redis", "State": "running"}
    return known_of(msgspec.convert(entry | {"Status": status}, Entry), inspection, NOW)


def test_row() -> None:
    """Every field of a running container."""
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "db"}
    seen = known("Up 2 hours (healthy)", {"Health": {"Status": "healthy"}}, labels=labels)
    assert msgspec.to_builtins(seen.container) == {
        "id": "a" * 64,
        "name": "web",
        "image": "redis",
        "state": "running",
        "status": "Up 2 hours (healthy)",
        "health": "healthy",
        "created": "2026-01-02T01:00:00.500000000Z",
        "started": "2026-01-02T03:00:00.000000000Z",
        "project": "shop",
        "service": "db",
        "app_id": None,
    }
    assert seen.began == "2026-01-02T03:00:00.000000000Z"
    assert (seen.run.pid, seen.run.host_network) == (7, False)


def test_container_that_was_never_started() -> None:
    """It has no start, no health, and nothing that runs."""
    state = {"Status": "created", "Running": False, "Pid": 0, "StartedAt": "0001-01-01T00:00:00Z"}
    seen = known("Created", state)
    assert (seen.container.started, seen.container.health, seen.began) == (None, None, "")
    assert seen.run.pid == 0


def test_container_that_waits_for_its_restart() -> None:
    """The engine calls it running, but none of its processes runs."""
    assert known(state={"Status": "restarting", "Restarting": True, "Pid": 7}).run.pid == 0


def test_network_of_the_host() -> None:
    """Its traffic is the host's."""
    assert known(network="host").run.host_network


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("Up 2 hours", "Up 3 hours", False),
        ("Up Less than a second", "Up About a minute", False),
        ("Up 2 hours", "Up 2 hours (unhealthy)", True),
        ("Exited (0) 3 days ago", "Exited (137) 3 days ago", True),
        ("Exited (0) 3 days ago", "Exited (0) 2 weeks ago", False),
        ("Up 2 hours (health: starting)", "Up 2 hours (healthy)", True),
    ],
)
def test_change(before: str, after: str, changed: bool) -> None:
    """A duration that has become longer is no news."""
    assert known(after).changed(known(before)) == changed
    assert known(after).changed(None)


def test_another_run() -> None:
    """A restart is news, although the state is the same."""
    assert known(state={"StartedAt": "2026-01-02T04:00:00Z"}).changed(known())
