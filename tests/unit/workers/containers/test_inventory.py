"""Tests of the list of an engine on another host, which reports no events."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest
from msgspec import structs

from bus.publisher import Publisher
from bus.wire import Kind
from mist import close_codes
from tests.support.engine_server import EngineServer
from tests.support.wait import wait_until
from workers.containers.inventory import Inventory

ID = "ab" * 32


class FakePublisher:
    """A publisher that keeps what it is given; ``there`` is False while the broker is away."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.there = True
        self.sent: list[tuple[Kind, Any, int]] = []

    def service(self) -> bool:
        """Return True if the broker is there."""
        return self.there

    def publish(self, kind: Kind, body: bytes, *, code: int = 0) -> None:
        """Keep a message."""
        assert self.there
        self.sent.append((kind, msgspec.json.decode(body), code))

    def newest(self, kind: Kind) -> Any:
        """Return the data of the newest message of a kind; None without one."""
        found = [message["data"] for seen, message, _ in self.sent if seen is kind]
        return found[-1] if found else None


@pytest.fixture
def publisher() -> Iterator[FakePublisher]:
    """A publisher whose broker never comes or goes by itself."""
    reading, writing = os.pipe()
    yield FakePublisher(reading)
    os.close(reading)
    os.close(writing)


class Host:
    """The engine, with one container, and the collector of its list."""

    def __init__(self, server: EngineServer, publisher: FakePublisher) -> None:
        self.server = server
        self.publisher = publisher
        self.cpu = 0
        server.computed[f"/containers/{ID}/stats"] = self._stats
        self.show("running", "Up 2 hours")
        settings = structs.replace(
            server.settings,
            collector=structs.replace(server.settings.collector, restart_seconds=0.3),
            containers=structs.replace(server.settings.containers, relist_seconds=0.5),
        )
        self.inventory = Inventory(cast(Publisher, publisher), settings)

    def show(self, state: str, status: str, name: str = "web") -> None:
        """Change the container; its process has the number of one here, by chance."""
        runs = state == "running"
        row = {"Id": ID, "Names": [f"/{name}"], "Image": "i", "State": state, "Status": status}
        self.server.answer("/containers/json", [row])
        self.server.answer(
            f"/containers/{ID}/json",
            {
                "Id": ID,
                "Name": f"/{name}",
                "Created": "2026-01-02T01:00:00Z",
                "Config": {"Tty": False, "Labels": None},
                "HostConfig": {"AutoRemove": False, "NetworkMode": "bridge"},
                "State": {
                    "Status": state,
                    "Running": runs,
                    "Restarting": False,
                    "Pid": os.getpid() if runs else 0,
                    "StartedAt": "2026-01-02T03:00:00Z",
                    "FinishedAt": "2026-01-02T04:00:00Z",
                },
            },
        )

    def _stats(self, query: dict[str, str]) -> tuple[int, bytes]:
        """Answer with a quarter of a core since the last request, which was a second ago."""
        assert query == {"stream": "false", "one-shot": "true"}
        self.cpu += 1
        answer = {
            "read": f"2026-01-02T03:04:{self.cpu:02}Z",
            "cpu_stats": {"cpu_usage": {"total_usage": 250_000_000 * self.cpu}},
            "memory_stats": {"usage": 1000, "limit": 4000, "stats": {}},
        }
        return 200, msgspec.json.encode(answer)

    def until(self, condition: Any) -> None:
        """Let the collector work until the condition holds."""

        def turned() -> bool:
            self.inventory.turn()
            return bool(condition())

        wait_until(turned, "the collector", every=0.0)


@pytest.fixture
def host(server: EngineServer, publisher: FakePublisher) -> Host:
    """An engine and the collector of its list."""
    return Host(server, publisher)


def states(publisher: FakePublisher) -> list[tuple[str, str]]:
    """Return the name and state of each container in the newest list."""
    listed = publisher.newest(Kind.STATUS) or {"containers": []}
    return [(each["name"], each["state"]) for each in listed["containers"]]


def test_figures_of_another_host(host: Host, publisher: FakePublisher) -> None:
    """They come from the engine, because the process with that number here is another one."""
    host.until(lambda: publisher.newest(Kind.METRICS))
    assert states(publisher) == [("web", "running")]
    used = publisher.newest(Kind.METRICS)["stats"][ID]
    assert (used["cpu_percent"], used["memory_percent"]) == (25.0, 25.0)


def test_changes_without_events(host: Host, publisher: FakePublisher) -> None:
    """They are found by comparing lists; a longer duration is no change."""
    host.until(lambda: states(publisher) == [("web", "running")])
    host.show("running", "Up 3 hours")
    host.until(lambda: len([kind for kind, *_ in publisher.sent if kind is Kind.METRICS]) >= 3)
    assert [kind for kind, *_ in publisher.sent].count(Kind.STATUS) == 1
    host.show("exited", "Exited (0) 1 second ago", "renamed")
    host.until(lambda: states(publisher) == [("renamed", "exited")])
    host.server.answer("/containers/json", [])
    host.until(lambda: states(publisher) == [])
    host.until(lambda: publisher.newest(Kind.METRICS) == {"stats": {}})


def test_events_are_asked_for_again(host: Host) -> None:
    """A proxy may have refused them for a moment only; nobody waits for them meanwhile."""
    host.until(lambda: [path for path, _ in host.server.queries].count("/events") == 3)


@pytest.mark.parametrize("answer", [b"not JSON", b'{"message": "no"}', b'[{"Id": 7}]'])
def test_engine_that_is_not_understood(host: Host, publisher: FakePublisher, answer: bytes) -> None:
    """Clients are told once at the beginning, and get the list when there is one."""
    right = host.server.answers["/containers/json"]
    host.server.answer("/containers/json", answer)
    host.until(lambda: publisher.sent)
    for _ in range(5):
        host.inventory.turn()
    ((kind, _, code),) = publisher.sent
    assert (kind, code) == (Kind.ERROR, close_codes.TRY_AGAIN_LATER)
    host.server.answers["/containers/json"] = right
    host.until(lambda: states(publisher) == [("web", "running")])


def test_engine_that_fails_for_a_moment(host: Host, publisher: FakePublisher) -> None:
    """Clients that are served are told of a failure that lasts, and the figures end with it."""
    host.until(lambda: states(publisher))
    right = host.server.answers["/containers/json"]
    host.server.answer("/containers/json", {"message": "out of memory"}, 500)
    host.until(lambda: publisher.newest(Kind.ERROR))
    assert publisher.newest(Kind.ERROR) == {"message": "out of memory"}
    host.server.answers["/containers/json"] = right
    before = len(publisher.sent)
    host.until(lambda: len(publisher.sent) > before)
    assert publisher.sent[before][0] is Kind.STATUS


def test_broker_that_is_away(host: Host, publisher: FakePublisher) -> None:
    """The list waits for it; figures do not."""
    host.until(lambda: states(publisher))
    publisher.there = False
    host.show("exited", "Exited (0) 1 second ago")
    asked = len(host.server.queries)
    host.until(lambda: len(host.server.queries) > asked + 3)
    publisher.there = True
    host.until(lambda: states(publisher) == [("web", "exited")])
