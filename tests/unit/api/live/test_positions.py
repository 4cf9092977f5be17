"""Tests of ``pos``: clients that are cut anywhere resume exactly, whatever the times are."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.live.channel import Channel, SubscribeOptions
from api.websocket.connection import Connection
from bus.replay import Snapshot
from bus.wire import NO_FLAGS, Flag, Header, Kind, Message
from mist import clock, messages
from mist.log_range import LinePosition, LogRange, log_range
from mist.messages import ContainerStatus
from mist.settings import ReplaySettings, Settings, StreamSettings
from tests.unit.api.live.test_channel import TOPIC, Client

#: Times that go back, repeat, and run ahead.
SECONDS = st.lists(st.sampled_from([5, 5, 5, 6, 4, 3_600, 0]), min_size=1, max_size=40)
SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=5)


class Log:
    """A topic's messages: a status, then numbered lines with these times in batches."""

    def __init__(self, seconds: list[int], sizes: list[int], epoch: int = 7) -> None:
        self.messages: list[Message] = []
        self.epoch, self.seq = epoch, 1
        self._add(Kind.STATUS, messages.status(ContainerStatus("web", "running", "Up")))
        self._add(Kind.READY, b"", flags=NO_FLAGS)
        first = turn = 0
        while first < len(seconds):
            size = sizes[turn % len(sizes)]
            lines = [
                messages.log(clock.rfc3339(second * 10**9), str(first + number), "stdout")
                for number, second in enumerate(seconds[first : first + size])
            ]
            self._add(Kind.LOG, b"\n".join(lines), len(lines))
            first, turn = first + size, turn + 1

    def _add(self, kind: Kind, body: bytes, count: int = 1, flags: Flag = NO_FLAGS) -> None:
        header = Header(kind, self.epoch, 1, self.seq, count, flags)
        self.messages.append(Message(TOPIC, header, body))
        self.seq += count


class Worker:
    """A channel, and timers that the test runs."""

    def __init__(self, log: Log, known: int | None = None, first: int = 0, **limits: Any) -> None:
        """Begin with the messages ``first`` to ``known`` of a log."""
        self.timers: list[tuple[float, Any, Any]] = []
        replay = ReplaySettings(lines=limits.pop("reach", 1_000))
        options = Settings(replay=replay, streams=StreamSettings(**limits))
        self.channel = Channel(options, later=lambda *timer: self.timers.append(timer))
        self.log = log
        begun = log.messages[first:known]
        self.channel.fill(Snapshot(TOPIC, log.epoch, 1, log.seq - 1, begun), settled=False)

    def feed(self, first: int, last: int | None = None) -> None:
        """Deliver the messages ``first`` to ``last``."""
        for message in self.log.messages[first:last]:
            self.channel.feed(message)
        self.channel.flush()

    def join(
        self, since: str | None = None, tail: int | None = None, *, pos: bool = True
    ) -> Client:
        """Add a client."""
        begin = log_range(None if tail is None else str(tail), since, 100)
        client = Client()
        options = SubscribeOptions(begin.tail, begin.since, False, pos)
        self.channel.add(cast(Connection, client), options)
        return client


def lines(client: Client) -> list[int]:
    """Return the numbers of the received lines."""
    return [int(text) for text in client.lines()]


def positions(client: Client) -> list[str]:
    """Return the positions of the received lines."""
    return [m["data"]["pos"] for m in client.received if m["type"] == "log"]


@given(SECONDS, SIZES, st.data())
@settings(max_examples=200)
def test_client_that_is_cut_anywhere_resumes_exactly(
    seconds: list[int], sizes: list[int], data: st.DataObject
) -> None:
    """Cut after any line and resumed on any worker, a client gets each other line once."""
    log = Log(seconds, sizes)
    whole = Worker(log).join(tail=1_000)
    assert lines(whole) == list(range(len(seconds)))
    cut = data.draw(st.integers(0, len(seconds) - 1))
    known = data.draw(st.integers(2, len(log.messages)))
    worker = Worker(log, known)
    client = worker.join(positions(whole)[cut])
    worker.feed(known)
    assert lines(client) == list(range(cut + 1, len(seconds)))
    assert client.types() in (["status", "log"], ["status"])


@given(SECONDS, SIZES, st.integers(1, 12), st.integers(1, 12), st.data())
@settings(max_examples=200)
def test_what_is_gone_is_told(
    seconds: list[int], sizes: list[int], ring: int, reach: int, data: st.DataObject
) -> None:
    """Beyond the memory, ``skipped`` follows the status and counts exactly what is missing."""
    log = Log(seconds, sizes)
    place = data.draw(st.integers(0, len(seconds) - 1))
    position = positions(Worker(log).join(tail=1_000))[place]
    client = Worker(log, ring_lines=ring, reach=reach).join(position)
    missing = len(seconds) - place - 1 - len(lines(client))
    assert lines(client) == list(range(len(seconds) - len(lines(client)), len(seconds)))
    assert (client.types()[:2] == ["status", "skipped"]) == (missing > 0)
    told = [message["data"]["lines"] for message in client.received if message["type"] == "skipped"]
    assert sum(told) == missing


def test_second_form_is_made_once_and_only_if_it_is_asked_for() -> None:
    """Clients with positions share their frames; without such a client there are none."""
    log = Log([5] * 6, [2])
    worker = Worker(log, 3)
    plain, first, second = (worker.join(tail=0, pos=pos) for pos in (False, True, True))
    taken: list[list[bytes]] = []
    for client in (plain, first, second):
        client.flush = lambda client=client: taken.append(client.source.take())  # type: ignore[method-assign,misc]
    worker.feed(3, 4)
    frames = [buffers[0] for buffers in taken]
    assert frames[1] is frames[2]
    assert b'"pos"' in frames[1]
    assert b'"pos"' not in frames[0]
    ring = worker.channel.ring
    assert frames[1] is ring.positioned(ring.head - 1)
    for client in (first, second):
        worker.channel.remove(cast(Connection, client))
    assert frames[1] is not ring.positioned(ring.head - 1)


@pytest.mark.parametrize("position", ["p6.3", "p1.1", "p8.1", "p7.fff"])
def test_position_that_nobody_knows_is_told(position: str) -> None:
    """A position of another numbering begins with ``skipped`` and the whole remembered log."""
    worker = Worker(Log([5] * 6, [2]))
    client = worker.join(position)
    for _, call, connection in worker.timers[-1:]:
        call(connection)
    assert client.types() == ["status", "skipped", "log"]
    assert lines(client) == list(range(6))


def test_client_that_saw_more_than_this_worker_waits_for_it() -> None:
    """Lines that another worker has sent already are not sent again by one that lags behind."""
    log = Log([5] * 6, [2])
    worker = Worker(log, 3)
    client = worker.join(positions(Worker(log).join(tail=1_000))[3])
    assert client.received == []
    worker.feed(3)
    assert client.types() == ["status", "log"]
    assert lines(client) == [4, 5]
    assert worker.channel.clients == 1


def test_lost_lines_are_told_to_a_client_that_comes_back() -> None:
    """A gap in the worker's ring is told in its place, also right behind the client's line."""
    log = Log([5] * 8, [2])
    worker = Worker(log, 4)
    worker.channel.feed(log.messages[5])
    later = Snapshot(TOPIC, log.epoch, 1, log.seq - 1, log.messages[5:])
    worker.channel.fill(later, settled=False)
    for place, expected in ((2, [3, 6, 7]), (3, [6, 7])):
        client = worker.join(f"p7.{3 + place:x}")
        assert lines(client) == expected
        assert [m["data"]["lines"] for m in client.received if m["type"] == "skipped"] == [2]
    since = worker.join(clock.rfc3339(5 * 10**9), pos=False)
    assert since.types() == ["status"]


def test_ring_of_a_late_worker_begins_behind_the_clients_line() -> None:
    """Nothing is missing if the broker still has the line that follows the client's."""
    log = Log([5] * 6, [2])
    worker = Worker(log, first=3)
    exact, beyond = worker.join("p7.4"), worker.join("p7.3")
    assert (lines(exact), lines(beyond)) == ([2, 3, 4, 5], [2, 3, 4, 5])
    assert "skipped" not in exact.types()
    assert "skipped" in beyond.types()


def test_position_and_its_text() -> None:
    """The text of a position is what ``since`` accepts."""
    assert log_range(None, str(LinePosition(10, 31)), 100) == LogRange(None, LinePosition(10, 31))
