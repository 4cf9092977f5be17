"""Tests of the decision if two containers may run at the same time."""

from __future__ import annotations

from typing import Any

import pytest

from workers.deployment import overlap

MOUNT = {"Type": "volume", "Name": "data", "Source": "/v/data", "Destination": "/data", "RW": True}
PORT = {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
CHECKED = {"Healthcheck": {"Test": ["CMD", "true"]}}


def found(config: dict[str, Any] | None = None, mounts: Any = (), **host: Any) -> dict[str, Any]:
    """Return an inspection."""
    return {"Config": config or {}, "Mounts": list(mounts), "HostConfig": host}


def test_nothing_forbids_it() -> None:
    """A health check is enough; the old container needs none."""
    assert overlap.obstacle(found(), found(CHECKED)) == ""
    assert overlap.obstacle(found(NetworkMode="bridge"), found(CHECKED, NetworkMode="front")) == ""


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"Healthcheck": None},
        {"Healthcheck": {}},
        {"Healthcheck": {"Test": []}},
        {"Healthcheck": {"Test": ["NONE"]}},
    ],
)
def test_a_health_check_is_needed(config: dict[str, Any]) -> None:
    """Without one, or with one that is turned off, nothing tells when it is ready."""
    assert "HEALTHCHECK" in overlap.obstacle(found(CHECKED), found(config))


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"PortBindings": PORT}, "is published on port 8080 of the host"),
        (
            {"PortBindings": {"80/tcp": [{"HostPort": ""}]}},
            "publishes port 80/tcp on a random port of the host",
        ),
        (
            {"PortBindings": {"53/udp": [{"HostPort": "0"}]}},
            "publishes port 53/udp on a random port of the host",
        ),
        ({"PublishAllPorts": True}, "publishes all its ports on random ports of the host"),
        ({"NetworkMode": "host"}, "shares the network of the host"),
        ({"NetworkMode": "container:abc"}, "shares the network of another container"),
    ],
)
def test_addresses_of_the_host(host: dict[str, Any], words: str) -> None:
    """Neither container may listen on an address that the other one needs."""
    assert overlap.obstacle(found(), found(CHECKED, **host)) == f"the new container {words}"
    assert overlap.obstacle(found(**host), found(CHECKED)) == f"the previous container {words}"
    assert not overlap.obstacle(found(PortBindings={"80/tcp": None}), found(CHECKED))


@pytest.mark.parametrize("kind", ["volume", "bind"])
def test_data_that_both_would_have(kind: str) -> None:
    """The new container may not write to it; the old one writes until it is stopped."""
    mount = MOUNT | {"Type": kind}
    reason = overlap.obstacle(found(mounts=[mount]), found(CHECKED, [mount]))
    assert reason.startswith("both containers have ")
    assert "at /data, and the new one may write to it" in reason
    read_only = mount | {"RW": False}
    assert not overlap.obstacle(found(mounts=[mount]), found(CHECKED, [read_only]))
    assert overlap.obstacle(found(mounts=[read_only]), found(CHECKED, [mount]))
    assert not overlap.obstacle(found(), found(CHECKED, [mount]))
    elsewhere = mount | {"Destination": "/elsewhere"}
    assert overlap.obstacle(found(mounts=[elsewhere]), found(CHECKED, [mount]))
    assert not overlap.obstacle(found(mounts=[mount | {"Type": "tmpfs"}]), found(CHECKED, [mount]))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/srv/a", "/srv/a/", True),
        ("/srv/a", "/srv/a/b", True),
        ("/srv/a/b", "/srv/a", True),
        ("/", "/srv", True),
        ("/srv/a", "/srv/ab", False),
        ("/srv/a", "/srv/b", False),
    ],
)
def test_paths_of_the_host(one: str, other: str, same: bool) -> None:
    """A directory contains those below it."""
    old, new = (MOUNT | {"Type": "bind", "Source": path} for path in (one, other))
    assert bool(overlap.obstacle(found(mounts=[old]), found(CHECKED, [new]))) is same


def test_other_volumes() -> None:
    """Volumes of different names have different data."""
    old, new = MOUNT, MOUNT | {"Name": "other"}
    assert not overlap.obstacle(found(mounts=[old]), found(CHECKED, [new]))
    assert not overlap.obstacle(found(mounts=[old | {"Type": "bind"}]), found(CHECKED, [new]))
