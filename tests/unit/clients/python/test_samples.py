"""Samples once a second, and the list of containers, without I/O."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from mist_client import (
    ContainerStatus,
    End,
    HostContainers,
    HostUsage,
    MetricsSample,
    Reconnected,
    Retry,
    StreamError,
    UsageSample,
)
from mist_client.follower import Follower
from mist_client.samples import Containers, ContainerUsage, Metrics

from tests.support.log_service import message, stamp, status

USAGE = {
    "cpu_percent": 150.0,
    "memory_used": 1,
    "memory_limit": 4,
    "memory_percent": 25,
    "network_rx": 1,
    "network_tx": 2,
    "block_read": 3,
    "block_write": 4,
    "pids": 5,
}
CONTAINER = {
    "id": "f00",
    "name": "web",
    "image": "web:1",
    "state": "running",
    "status": "Up",
    "health": None,
    "created": stamp(0),
    "started": None,
    "project": None,
    "service": None,
    "app_id": 1,
}


def sample(second: int) -> bytes:
    """Return a sample of the host."""
    space = {"used": 1, "total": 4, "percent": 25.0}
    docker = {"containers_running": None, "containers_total": None, "images": None}
    return msgspec.json.encode(
        {
            "timestamp": stamp(second * 1_000),
            "cpu": {"usage": 12.5, "cores": 2},
            "memory": space,
            "disk": space,
            "docker": docker,
        }
    )


class Played:
    """A stream of samples with a clock."""

    def __init__(self, source: Any) -> None:
        self.now = 100.0
        self.events: list[Any] = []
        source.clock = lambda: self.now
        self.follower: Follower[Any] = Follower(source, Retry())

    def take(self, *messages: bytes) -> None:
        """Take messages."""
        for each in messages:
            self.events += self.follower.receive(each)

    @property
    def times(self) -> list[str]:
        """The times of the samples."""
        return [e.time for e in self.events if isinstance(e, MetricsSample | UsageSample)]


def test_a_history_repeats_nothing_after_a_loss() -> None:
    """The samples that were missed are asked for, with those around them."""
    played = Played(Metrics(history=60))
    assert dict(played.follower.connect()) == {"history": 60}
    played.take(sample(1), sample(2), sample(2))
    played.follower.closed(1006)
    played.now += 5
    assert dict(played.follower.connect()) == {"history": 7}
    played.take(*map(sample, range(1, 8)))
    assert played.times == [stamp(second * 1_000) for second in range(1, 8)]
    assert [e for e in played.events if isinstance(e, Reconnected)] == [Reconnected(0, False, 5.0)]


def test_missing_samples_are_counted_by_their_times() -> None:
    """There is one a second."""
    played = Played(Metrics(history=None))
    played.take(sample(1))
    played.follower.closed(1006)
    played.now += 1_000
    assert dict(played.follower.connect()) == {"history": 300}
    played.take(sample(701), sample(702))
    assert played.events[1] == Reconnected(699, False, 1_000.0)


def test_a_clock_that_was_set_back_loses_nothing() -> None:
    """Later samples are new, whatever their time; in the history, they are not."""
    played = Played(Metrics(history=None))
    played.take(sample(100))
    played.take(sample(50))
    played.now += 1
    played.take(sample(51))
    assert played.times == [stamp(100_000), stamp(51_000)]


def test_metrics_are_typed() -> None:
    """The time has the same name as in every other event."""
    played = Played(Metrics(history=None))
    played.take(sample(1), b"{}", b"nonsense")
    [found] = played.events
    assert (found.time, found.cpu.cores, found.docker.images) == (stamp(1_000), 2, None)
    assert played.follower.wait() is None


def test_a_user_without_the_right_is_told_so() -> None:
    """An error is not mistaken for a sample."""
    played = Played(Metrics(history=None))
    played.take(message("error", message="Permission denied"))
    with pytest.raises(StreamError, match="Permission denied"):
        played.follower.closed(4403)


def test_usage_ends_with_its_container() -> None:
    """Statuses come in between."""
    played = Played(ContainerUsage({"container": "web"}, history=2))
    assert dict(played.follower.connect()) == {"container": "web", "history": 2}
    played.take(status(), message("stats", stamp(1), **USAGE), status("exited"))
    played.take(message("end", message="Log stream ended"))
    assert [type(e) for e in played.events] == [ContainerStatus, UsageSample, ContainerStatus, End]
    assert played.events[1].usage.cpu_percent == 150.0
    assert played.follower.over


def test_containers_are_listed_again_after_a_loss() -> None:
    """The new list makes up for what was missed."""
    played = Played(Containers())
    listed = message("containers", stamp(1), containers=[CONTAINER])
    used = message("stats", stamp(2), stats={"f00": USAGE})
    played.take(listed, used)
    played.follower.closed(1012)
    played.now += 2
    played.take(listed)
    first, usage, again, second = played.events
    assert isinstance(first, HostContainers)
    assert isinstance(usage, HostUsage)
    assert first.containers[0].name == "web"
    assert usage.stats["f00"].pids == 5
    assert again == Reconnected(0, True, 2.0)
    assert second == first
    played.take(message("error", message="Not an admin"), b"nonsense")
    with pytest.raises(StreamError, match="Not an admin"):
        played.follower.closed(4403)
