"""The sampler on a real engine: its message, its pace, and an engine that hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import psutil
import pytest
import zmq

from bus import topics
from bus.follower import Follower
from bus.wire import Message
from mist import clock
from mist.messages import MetricsSample
from mist.settings import Settings
from tests.integration.conftest import MakeService
from tests.support.service.clients import Client
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

PATIENCE = 30.0
SECOND = 1_000_000_000

OpenClient = Callable[..., Client]


class Samples:
    """The decoded samples of a service's metrics from the bus."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def next(self) -> list[MetricsSample]:
        """Return what arrives within about a second."""
        items = self._follower.take(1.5)
        return [
            msgspec.json.decode(item.body, type=MetricsSample)
            for item in items
            if isinstance(item, Message)
        ]

    def take(self, count: int) -> list[MetricsSample]:
        """Return the next ``count`` samples, or a few more."""
        taken: list[MetricsSample] = []

        def enough() -> bool:
            taken.extend(self.next())
            return len(taken) >= count

        wait_until(enough, f"{count} samples", every=0.0)
        return taken

    def until(self, condition: Callable[[MetricsSample], bool]) -> MetricsSample:
        """Return the first sample for which the condition holds."""
        found = wait_until(lambda: [*filter(condition, self.next())], "such a sample", every=0.0)
        return found[0]


@contextmanager
def samples_of(service: Service) -> Iterator[Samples]:
    """Follow the service's metrics."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with Follower(context, service.paths, Settings(), topics.METRICS) as follower:
        yield Samples(follower)
    context.term()


@pytest.fixture
def samples(service: Service) -> Iterator[Samples]:
    """The samples of the shared service."""
    with samples_of(service) as samples:
        yield samples


def test_message_is_the_documented_one(service: Service, samples: Samples) -> None:
    """The message has exactly the documented fields."""
    samples.until(lambda sample: sample.docker.images is not None)
    message = msgspec.json.decode(service.mist("top", "--json", "--once").stdout)
    shape = {
        key: {inner: type(figure) for inner, figure in value.items()}
        for key, value in message.items()
        if key != "timestamp"
    }
    assert shape == {
        "cpu": {"usage": float, "cores": int},
        "memory": {"used": int, "total": int, "percent": float},
        "disk": {"used": int, "total": int, "percent": float},
        "docker": {"containers_running": int, "containers_total": int, "images": int},
    }
    assert clock.normalize(message["timestamp"]) == message["timestamp"]
    for part in (message["memory"], message["disk"]):
        assert part["percent"] == pytest.approx(100 * part["used"] / part["total"], abs=0.01)
    assert message["memory"]["total"] == psutil.virtual_memory().total


def test_clock_does_not_burst(samples: Samples) -> None:
    """A late sample, as on a busy machine, is not made up for by a burst."""
    seen = [clock.nanoseconds(sample.timestamp) for sample in samples.take(6)]
    # The first may have been late by less than an interval, and none is early.
    assert seen[-1] - seen[0] > (len(seen) - 2) * SECOND


def test_counts_follow_the_engine(engine: PrivateEngine, container: str, samples: Samples) -> None:
    """A container that starts, stops or is removed is counted within moments."""

    # Compared with the engine itself, in which other containers may end meanwhile.
    def counted(sample: MetricsSample) -> bool:
        info = engine.client.info()
        figures = info["ContainersRunning"], info["Containers"]
        return (sample.docker.containers_running, sample.docker.containers_total) == figures

    engine.run(container, "sleep 1000")
    samples.until(counted)
    engine.client.kill(container)
    samples.until(counted)
    engine.remove(container)
    samples.until(counted)


def test_hanging_engine_does_not_hold_the_clock_up(
    own_engine: PrivateEngine, make_service: MakeService
) -> None:
    """While the daemon is suspended, samples continue with null for its figures."""
    service = make_service(own_engine, {"metrics.stale_seconds": 1.5})
    with samples_of(service) as samples:
        samples.until(lambda sample: sample.docker.images is not None)
        os.kill(own_engine.pid, signal.SIGSTOP)
        try:
            samples.until(lambda sample: sample.docker.images is None)
            first = clock.nanoseconds(samples.until(lambda _: True).timestamp)
            samples.take(4)
            last = clock.nanoseconds(samples.until(lambda _: True).timestamp)
            assert last - first >= 4 * SECOND
        finally:
            os.kill(own_engine.pid, signal.SIGCONT)
        samples.until(lambda sample: sample.docker.images is not None)


def test_restarted_engine_is_found_again(
    own_engine: PrivateEngine, make_service: MakeService
) -> None:
    """The figures are null while the daemon is away and return with it."""
    service = make_service(own_engine)
    with samples_of(service) as samples:
        samples.until(lambda sample: sample.docker.images == 1)
        own_engine.stop()
        samples.until(lambda sample: sample.docker.images is None)
        own_engine.start()
        samples.until(lambda sample: sample.docker.images == 1)


def test_killed_sampler_goes_on(engine: PrivateEngine, make_service: MakeService) -> None:
    """A new sampler continues the numbering without a gap or a repetition."""
    service = make_service(engine)
    with samples_of(service) as samples:
        times = [sample.timestamp for sample in samples.next()]
        (row,) = service.running("metrics")
        old = row["pid"]
        os.kill(old, signal.SIGKILL)
        wait_until(
            lambda: any(new["pid"] != old for new in service.running("metrics")), "another sampler"
        )
        times += [sample.timestamp for sample in samples.take(6 - len(times))]
        assert times == sorted(set(times))


@pytest.mark.parametrize("history", [0, 3])
def test_history_comes_before_what_is_live(
    service: Service, admin: str, samples: Samples, open_client: OpenClient, history: int
) -> None:
    """The newest sample comes at once; with ``history``, that many samples come before it."""
    samples.until(lambda _: True)
    client = open_client(service.ws_url("metrics", history=history), admin)
    client.wait_for(lambda messages: len(messages) >= history + 2)
    times = [message["timestamp"] for message in client.messages]
    assert times == sorted(set(times))
