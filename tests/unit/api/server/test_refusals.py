"""Tests of the log of refused requests, on a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.server import refusals
from api.server.refusals import RefusalLog


class Clock:
    """A clock and the lines that are logged."""

    now = 1_000.0
    lines: list[Any]

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of the module under test."""
    clock = Clock()
    monkeypatch.setattr(refusals, "time", clock)
    with capture_logs() as clock.lines:
        yield clock


def test_the_first_is_logged_at_once(clock: Clock) -> None:
    """With the client's address, or what a Unix socket has instead, and the reason."""
    RefusalLog().note(("192.0.2.1", 4711), "no complete request in 10 seconds")
    RefusalLog().note("", "the same")
    assert [(line["event"], line["peer"], line["reason"]) for line in clock.lines] == [
        ("request_refused", "192.0.2.1", "no complete request in 10 seconds"),
        ("request_refused", "", "the same"),
    ]


def test_the_rest_is_counted(clock: Clock) -> None:
    """The number follows after the minute, once, with the last of them as an example."""
    log = RefusalLog()
    for number in range(5):
        log.note((f"192.0.2.{number}", 1), f"reason {number}")
    log.flush()
    assert len(clock.lines) == 1
    clock.now += 60
    log.flush()
    log.flush()
    (number,) = clock.lines[1:]
    assert (number["event"], number["count"]) == ("requests_refused", 4)
    assert (number["last_peer"], number["last_reason"]) == ("192.0.2.4", "reason 4")


def test_two_lines_a_minute(clock: Clock) -> None:
    """However many there are, and every one of them is in a line."""
    log = RefusalLog()
    for _ in range(6_000):  # ten minutes
        log.note(("192.0.2.1", 1), "nonsense")
        clock.now += 0.1
        log.flush()
    assert len(clock.lines) <= 20
    log.flush(early=True)
    assert sum(line.get("count", 1) for line in clock.lines) == 6_000


def test_the_end_tells_the_rest(clock: Clock) -> None:
    """A worker that stops does not wait for the minute."""
    log = RefusalLog()
    log.flush(early=True)
    assert not clock.lines
    log.note("", "one")
    log.note("", "two")
    log.flush(early=True)
    assert clock.lines[-1]["count"] == 1
