"""The log of a container over connections that break, without I/O."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mist_client import (
    End,
    LogLine,
    Reconnected,
    Reconnecting,
    Retry,
    Skipped,
    StreamError,
)
from mist_client.follower import Follower
from mist_client.logs import ContainerLog

from tests.support.log_service import LogService, message, stamp, status


class Viewer:
    """A stream whose connections are played by a test."""

    def __init__(self, service: LogService, **options: Any) -> None:
        self.now = 0.0
        self.service = service
        self.events: list[Any] = []
        self.query: dict[str, Any] = {}
        source = ContainerLog(
            {"appId": 1}, **{"tail": None, "since": None, "stopped": False} | options
        )
        source.clock = lambda: self.now
        self.follower = Follower(source, Retry())

    def connect(self) -> list[bytes]:
        """Make a connection and return the messages that come first."""
        self.query = dict(self.follower.connect())
        return self.service.answer(self.query)

    def take(self, *messages: bytes) -> None:
        """Take messages."""
        for each in messages:
            self.events += self.follower.receive(each)

    def lose(self, code: int = 1006) -> None:
        """Lose the connection."""
        self.events.append(self.follower.closed(code))

    def settle(self) -> None:
        """Wait for as long as the stream wants to."""
        assert self.follower.wait() is not None
        self.now += 1
        assert self.follower.wait() == 0
        self.events += self.follower.settle()

    @property
    def lines(self) -> list[str]:
        """The texts of the delivered lines."""
        return [event.line for event in self.events if isinstance(event, LogLine)]

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of a type."""
        return [event for event in self.events if isinstance(event, kind)]


def written(count: int, memory: int = 1_000) -> LogService:
    """Return a log with numbered lines."""
    service = LogService(memory)
    for number in range(count):
        service.write(str(number))
    return service


def numbers(first: int, last: int) -> list[str]:
    """Return the texts of numbered lines."""
    return [str(number) for number in range(first, last)]


#: How many lines are written, how many messages of the answer arrive before the connection is
#: lost, and whether the service then forgets its numbers.
Cut = tuple[int, int, bool]
CUTS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60), st.booleans()), max_size=12)


@given(CUTS, st.integers(1, 4), st.integers(1, 40))
def test_wherever_it_is_cut_every_line_comes_once(cuts: list[Cut], texts: int, same: int) -> None:
    """Also among lines of one text and one time, and where the service forgets its numbers."""
    service = LogService()
    for number in range(5):
        service.write(f"{number % texts}", stamp(number // same))
    viewer = Viewer(service)
    for count, heard, forgets in cuts:
        answer = viewer.connect()
        viewer.take(*answer[:heard])
        viewer.lose()
        for number in range(len(service.lines), len(service.lines) + count):
            service.write(f"{number % texts}", stamp(number // same))
        if forgets:
            service.renumber()
    viewer.take(*viewer.connect())
    viewer.take(message("end", message="Log stream ended"))
    # The first answer of which a line was heard began with the newest hundred.
    delivered = [(event.time, event.line) for event in viewer.of(LogLine)]
    assert delivered == service.lines[len(service.lines) - len(delivered) :]
    assert len(delivered) >= min(len(service.lines), 100)
    assert not viewer.of(Skipped)
    assert {each.missing for each in viewer.of(Reconnected)} <= {0}
    assert isinstance(viewer.events[-1], End)
    assert viewer.follower.over


def test_what_is_forgotten_is_told_with_its_number() -> None:
    """The event comes before the lines that follow the gap."""
    service = written(20, memory=10)
    viewer = Viewer(service)
    viewer.take(*viewer.connect())
    viewer.lose()
    viewer.now += 3
    for number in range(20, 50):
        service.write(str(number))
    viewer.take(*viewer.connect())
    assert viewer.lines == [*numbers(10, 20), *numbers(40, 50)]
    assert viewer.of(Reconnected) == [Reconnected(20, exact=True, downtime=3.0)]
    [skipped] = viewer.of(Skipped)
    assert (skipped.lines, skipped.exact, skipped.reason) == (20, True, "forgotten")
    assert skipped.message == "20 lines are missing: the service does not remember them any more"
    assert viewer.events.index(skipped) == viewer.events.index(viewer.of(LogLine)[10]) - 1


def test_a_gap_that_cannot_be_counted_is_a_gap() -> None:
    """Nothing known comes any more: at least one line is missing."""
    service = written(20, memory=10)
    viewer = Viewer(service)
    viewer.take(*viewer.connect())
    viewer.lose()
    for number in range(20, 50):
        service.write(str(number))
    service.renumber()
    viewer.take(*viewer.connect())
    assert viewer.lines == numbers(10, 20)  # the last known line could still come
    viewer.settle()
    assert viewer.lines == [*numbers(10, 20), *numbers(40, 50)]
    assert [(each.missing, each.exact) for each in viewer.of(Reconnected)] == [(1, False)]
    assert viewer.of(Skipped)[0].message.startswith("At least 1 line is missing")


def test_lines_before_the_first_that_was_asked_for_do_not_come_later() -> None:
    """The service answers with all that it remembers, but they were not wanted."""
    service = written(300)
    viewer = Viewer(service, tail=5)
    viewer.take(*viewer.connect())
    viewer.lose()
    service.write("300")
    service.renumber()
    viewer.take(*viewer.connect())
    assert viewer.lines == numbers(295, 301)
    assert viewer.of(Reconnected) == [Reconnected(0, exact=True, downtime=0.0)]


def test_lines_much_later_than_the_last_known_one_do_not_wait() -> None:
    """A line more than a second later shows that the last known line does not come."""
    service = written(20, memory=5)
    viewer = Viewer(service)
    viewer.take(*viewer.connect())
    viewer.lose()
    for number in range(5):
        service.write(f"late {number}", stamp(2_000 + number))
    service.renumber()
    viewer.take(*viewer.connect())
    assert viewer.lines[-5:] == [f"late {number}" for number in range(5)]


def test_long_lines_are_told_apart() -> None:
    """Only a hash of them is kept."""
    service = LogService()
    service.write("a" * 5_000)
    service.write("b" * 5_000, stamp(0))
    viewer = Viewer(service)
    viewer.take(*viewer.connect()[:2])
    viewer.lose()
    service.renumber()
    viewer.take(*viewer.connect())
    viewer.settle()
    assert viewer.lines == ["a" * 5_000, "b" * 5_000]


def test_lines_that_wait_have_a_bound_in_characters() -> None:
    """A few lines of the largest size are as many as thousands of short ones."""
    service = written(20, memory=20)
    viewer = Viewer(service)
    viewer.take(*viewer.connect())
    viewer.lose()
    service.renumber()
    viewer.take(*viewer.connect()[:1], message("skipped", lines=0, reason="restart"))
    long = message("log", stamp(20), line="x" * 1024 * 1024, stream="stdout", pos="2-20")
    viewer.take(*[long] * 15)
    assert len(viewer.lines) == 20
    viewer.take(long)
    assert len(viewer.lines) == 36
    assert viewer.of(Skipped)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("drops", [1, 2, 3])
@pytest.mark.parametrize("tail", [None, 0])
def test_an_empty_log_is_resumed_from_its_beginning(
    tail: int | None, drops: int, quick: bool
) -> None:
    """Lines that were written without a connection come, however many of them were asked for.

    This holds for each loss, and also if later connections live shorter than it takes to settle.
    """
    service = LogService()
    viewer = Viewer(service, tail=tail)
    for drop in range(drops):
        viewer.take(*viewer.connect())
        if not drop or not quick:
            viewer.settle()
        viewer.lose()
    for number in range(200):
        service.write(str(number), stamp(number + 1))
    viewer.take(*viewer.connect())
    assert viewer.lines == numbers(0, 200)
    assert not viewer.of(Skipped)


def test_a_log_without_earlier_lines_is_resumed_from_the_first_connection() -> None:
    """Lines come that were written after the first of several short connections."""
    service = written(1)
    viewer = Viewer(service, tail=0)
    viewer.take(*viewer.connect())
    viewer.lose()
    service.write("new", stamp(5))
    service.now = stamp(9)
    viewer.take(*viewer.connect()[:1])
    viewer.lose()
    viewer.take(*viewer.connect())
    assert viewer.lines == ["new"]


@pytest.mark.parametrize(
    "options", [{}, {"tail": 0}, {"tail": 5}, {"since": "0001-01-01T00:00:00Z"}]
)
@pytest.mark.parametrize("before", [0, 3])
def test_a_container_that_stopped_meanwhile_gives_its_last_lines(
    options: dict[str, Any], before: int
) -> None:
    """They come before the error that says that it does not run."""
    service = LogService()
    viewer = Viewer(service, **options)
    viewer.take(*viewer.connect())
    viewer.settle()
    for number in range(before):
        service.write(str(number), stamp(number + 1))
        viewer.take(service.message(number))
    viewer.lose()
    for number in range(before, before + 4):
        service.write(str(number), stamp(number + 1))
    service.stopped = True
    viewer.take(*viewer.connect())
    assert viewer.lines == numbers(0, before + 4)
    assert viewer.of(Reconnected) == [Reconnected(0, exact=True, downtime=0.0)]
    with pytest.raises(StreamError, match="not running"):
        viewer.lose(4409)


def test_a_container_that_is_stopped_at_first_shows_its_lines_only_on_request() -> None:
    """A first connection, and another one after an error without a status, ask for no tail."""
    service = written(3)
    service.stopped = True
    viewer = Viewer(service)
    viewer.connect()
    viewer.take(message("error", message="Docker Engine is unreachable"))
    viewer.lose(1013)
    viewer.take(*viewer.connect())
    assert not viewer.lines


def test_a_connection_that_broke_before_the_tail_asks_for_the_tail_again() -> None:
    """Nothing was delivered, so nothing is resumed."""
    viewer = Viewer(written(500), tail=7)
    viewer.take(*viewer.connect()[:1])
    viewer.lose()
    viewer.take(*viewer.connect())
    assert viewer.lines == numbers(493, 500)


def test_gaps_that_the_service_tells_are_events() -> None:
    """A slow connection and a number that nobody knows, in their place among the lines."""
    viewer = Viewer(written(3))
    viewer.take(*viewer.connect())
    viewer.take(message("skipped", lines=5, reason="slow", message="5 lines skipped"))
    viewer.take(message("skipped", lines=0, reason="engine", message="An unknown number"))
    assert [(e.lines, e.exact, e.reason) for e in viewer.of(Skipped)] == [
        (5, True, "slow"),
        (1, False, "engine"),
    ]
    assert isinstance(viewer.events[-1], Skipped)


def test_a_time_that_is_too_long_ago_begins_with_a_gap() -> None:
    """It is told even though there was no connection before."""
    viewer = Viewer(written(3), since="1-0")
    viewer.follower.connect()
    viewer.take(status(), message("skipped", lines=12, reason="slow", message=""))
    assert viewer.of(Skipped)[0].message.startswith("12 lines are missing")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"type":"log"}',
        b'{"type":"log","timestamp":"x","data":{"line":7}}',
        b'{"type":"confetti","timestamp":"x","data":{}}',
        b'{"type":7}',
    ],
)
def test_what_is_unknown_is_ignored(data: bytes) -> None:
    """A later version of the service may send more."""
    viewer = Viewer(written(1))
    viewer.take(*viewer.connect(), data)
    assert viewer.lines == ["0"]


def test_unknown_fields_are_ignored() -> None:
    """A message may have more than is known of it."""
    viewer = Viewer(LogService())
    viewer.take(message("log", line="a", stream="stderr", colour="red"))
    assert viewer.events == [LogLine("2026-01-01T00:00:00.000000000Z", "stderr", "a", None)]


def test_an_error_says_why_the_stream_is_closed() -> None:
    """The service's words are the reason, and lines that waited come before it."""
    viewer = Viewer(LogService())
    viewer.connect()
    viewer.take(status(), message("error", message="Container is not running (state: exited)"))
    with pytest.raises(StreamError, match=r"not running \(state: exited\)") as caught:
        viewer.lose(4409)
    assert (caught.value.reason.code, caught.value.reason.close_code) == ("not-running", 4409)


def test_an_error_alone_does_not_make_it_live() -> None:
    """The stream was never live, so nothing was lost and nothing is resumed."""
    viewer = Viewer(written(500))
    for _ in range(3):
        viewer.connect()
        viewer.take(message("error", message="Docker Engine is unreachable"))
        viewer.lose(1013)
    viewer.take(*viewer.connect())
    assert viewer.lines == numbers(400, 500)
    assert not viewer.of(Reconnected)
    assert [each.reason.message for each in viewer.of(Reconnecting)] == [
        "Docker Engine is unreachable"
    ] * 3


def test_the_end_is_the_end() -> None:
    """After it no connection is made, whatever the close frame says."""
    viewer = Viewer(written(2))
    viewer.take(*viewer.connect(), message("end", message="Log stream ended"))
    assert viewer.follower.over
    assert viewer.follower.closed(1000) is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"appId": 1, "tail": None, "since": None, "stopped": None, "pos": 1}),
        (
            {"tail": 5, "stopped": True},
            {"appId": 1, "tail": 5, "since": None, "stopped": 1, "pos": 1},
        ),
        ({"since": "1-7"}, {"appId": 1, "tail": None, "since": "1-7", "stopped": None, "pos": 1}),
    ],
)
def test_the_first_request(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """It asks for what the caller asked for, and for positions."""
    assert dict(Viewer(LogService(), **options).follower.connect()) == expected
