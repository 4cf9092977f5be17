"""The lines of a range in both orders, the search in them, and the final record."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.support.engine_server import EngineServer
from tests.support.reading import (
    INSPECT,
    LOGS,
    Line,
    Log,
    limited,
    numbered,
    read,
    stamp,
    unpacked,
)
from workers.reader.reading import slices

pytestmark = pytest.mark.usefixtures("watched")


def texts(*numbers: int) -> list[str]:
    """Return the texts of numbered lines."""
    return [f"line {number}" for number in numbers]


@pytest.fixture
def log(server: EngineServer) -> Log:
    """Return a log of ten lines."""
    return Log(server, numbered(10))


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, range(10)),
        ({"order": "desc"}, range(9, -1, -1)),
        ({"since": stamp(3), "until": stamp(6)}, [3, 4, 5]),
        ({"since": stamp(3), "until": stamp(6), "order": "desc"}, [5, 4, 3]),
        ({"since": stamp(7)}, [7, 8, 9]),
        ({"until": stamp(2)}, [0, 1]),
        ({"tail": 3}, [7, 8, 9]),
        ({"tail": 2, "until": stamp(5)}, [3, 4]),
        ({"tail": 0}, []),
        ({"tail": 99}, range(10)),
        ({"since": stamp(20)}, []),
    ],
)
def test_a_range_is_read_in_either_order(
    server: EngineServer, log: Log, query: dict[str, Any], numbers: Any
) -> None:
    """Send the lines from ``since`` up to, but not including, ``until``."""
    answer = read(server.settings, **query)
    assert (answer.head.status, answer.ended) == (200, True)
    assert answer.texts == texts(*numbers)
    reached = stamp(numbers[-1]) if numbers else None
    count = len(numbers)
    assert answer.end == {"lines": count, "matched": count, "complete": True, "reached": reached}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_few_lines_beyond_the_range_do_not_end_it(server: EngineServer, order: str) -> None:
    """Lines of stdout and stderr may be out of order; more of the range may follow."""
    inside = [Line(number, b"x" * 2_000 + b"\n") for number in range(5_000, 5_400)]
    # More than the engine sends at once.
    early, late = ([Line(number, b"y" * 1_000 + b"\n")] * 499 for number in (1, 9_000))
    Log(server, [*inside[:1], *early, *late, *inside[1:-1], *early, *late, *inside[-1:]])
    answer = read(server.settings, since=stamp(5_000), until=stamp(6_000), order=order)
    assert (len(answer.records), answer.end["complete"]) == (400, True)


@pytest.mark.parametrize(("order", "damaged"), [("asc", 4_000), ("desc", 10)])
def test_many_lines_beyond_the_range_end_it(server: EngineServer, order: str, damaged: int) -> None:
    """A range does not cost more than its own side of the log."""
    log = Log(server, [Line(number, b"x" * 500 + b"\n") for number in range(5_000)])
    log.damaged = damaged
    log.lines.insert(2_500, Line(0, b"stray\n"))
    answer = read(server.settings, since=stamp(2_400), until=stamp(2_450), order=order)
    assert len(answer.records) == 50
    # The damaged place is beyond what was read.
    assert (answer.end["complete"], "message" in answer.end) == (True, False)


def test_a_line_has_its_time_and_stream(server: EngineServer, log: Log) -> None:
    """Encode lines as live messages."""
    first, second = read(server.settings, until=stamp(2)).records
    assert first == {
        "type": "log",
        "timestamp": stamp(0),
        "data": {"line": "line 0", "stream": "stdout"},
    }
    assert second["data"]["stream"] == "stderr"


def test_a_search_sends_only_matches(server: EngineServer, log: Log) -> None:
    """Count the lines that were read apart from those that match."""
    answer = read(server.settings, q="LINE [27]", regex=True)
    assert answer.texts == texts(2, 7)
    assert (answer.end["lines"], answer.end["matched"]) == (10, 2)
    assert (answer.end["reached"], answer.end["complete"]) == (stamp(9), True)


@pytest.mark.parametrize(("order", "numbers"), [("asc", [1, 3]), ("desc", [9, 7])])
def test_a_limit_ends_the_search(
    server: EngineServer, log: Log, order: str, numbers: list[int]
) -> None:
    """Say up to which line the log was read, and that it is incomplete."""
    answer = read(server.settings, stream="stderr", limit=2, order=order)
    assert answer.texts == texts(*numbers)
    assert answer.end == {
        "lines": 4 if order == "asc" else 3,
        "matched": 2,
        "complete": False,
        "reached": stamp(numbers[-1]),
    }


@pytest.mark.parametrize(("limit", "complete"), [(9, False), (10, True), (11, True)])
def test_a_limit_that_leaves_nothing_out(
    server: EngineServer, log: Log, limit: int, complete: bool
) -> None:
    """Call the answer complete if the limit is reached with the last line."""
    answer = read(server.settings, limit=limit)
    assert (answer.end["complete"], len(answer.texts)) == (complete, min(limit, 10))


@pytest.mark.parametrize(
    ("query", "first"), [({}, 12), ({"q": "9"}, 1_001), ({"until": stamp(2_000)}, 1_001)]
)
def test_the_newest_lines_cost_no_more_than_they_are(
    server: EngineServer, query: dict[str, Any], first: int
) -> None:
    """Ask for as many lines as the limit, if all of them will be sent."""
    log = Log(server, numbered(2_500))
    answer = read(server.settings, order="desc", limit=10, **query)
    assert (len(answer.texts), answer.end["complete"]) == (10, False)
    assert log.tails[:2] == ["1", str(first)]
    assert len(log.tails) == 2 or query


def test_a_limit_that_is_reached_at_the_end_of_a_window(server: EngineServer) -> None:
    """Call the answer incomplete if there are more lines in the next window."""
    Log(server, numbered(2_500))
    answer = read(server.settings, order="desc", limit=1_000)
    assert answer.texts == texts(*range(2_499, 1_499, -1))
    assert answer.end["complete"] is False


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({}, b"line 8\nline 9\n"),
        ({"timestamps": True}, f"{stamp(8)} line 8\n{stamp(9)} line 9\n".encode()),
    ],
)
def test_plain_text_has_no_final_record(
    server: EngineServer, log: Log, query: dict[str, Any], body: bytes
) -> None:
    """End a complete text with the last frame alone."""
    answer = read(server.settings, format="text", since=stamp(8), **query)
    assert (answer.body, answer.ended) == (body, True)


@pytest.mark.parametrize("query", [{}, {"tail": 2}])
def test_text_keeps_an_unterminated_last_line(server: EngineServer, query: dict[str, Any]) -> None:
    """Send no newline that the log does not have."""
    Log(server, [Line(0, b"one\n"), Line(1, b"$ ")])
    assert read(server.settings, format="text", **query).body == b"one\n$ "


def test_compression(server: EngineServer, log: Log) -> None:
    """Send one complete gzip stream."""
    answer = read(server.settings, format="text", gzip=True, tail=2)
    assert unpacked(answer.body) == b"line 8\nline 9\n"


def test_a_large_log_arrives_in_frames(server: EngineServer) -> None:
    """Send frames of at most 64 KiB."""
    lines = [Line(number, b"x" * 4_000 + b" %d\n" % number) for number in range(200)]
    Log(server, lines)
    answer = read(server.settings, format="text")
    assert answer.body == b"".join(line.text for line in lines)
    assert max(map(len, answer.frames)) <= 65_536
    assert len(answer.frames) > 10


def test_a_terminal_ends_its_lines_with_a_carriage_return(server: EngineServer, log: Log) -> None:
    """Leave it out of a line and of the search."""
    lines = f"{stamp(0)} one\r\n{stamp(1)} two\r\n".encode()
    server.computed[LOGS] = lambda _query: (200, lines)
    for path in (INSPECT, "/containers/web/json"):
        server.answer(path, log.inspection | {"Config": {"Tty": True}})
    answer = read(server.settings, q="o$", regex=True)
    assert (answer.texts, answer.end["lines"]) == (["two"], 2)


def test_backwards_reading_ends_before_the_range(server: EngineServer) -> None:
    """Leave the older part of a long log unread."""
    log = Log(server, numbered(20_000))
    answer = read(server.settings, since=stamp(19_990), order="desc")
    assert answer.texts == texts(*range(19_999, 19_989, -1))
    assert answer.end["complete"] is True
    assert max(map(int, log.tails)) < 10_000


@pytest.mark.parametrize("q", ["", "7"])
def test_a_tail_that_does_not_fit_into_memory(server: EngineServer, q: str) -> None:
    """Read it forwards once its first line was found."""
    Log(server, numbered(500))
    answer = read(limited(server.settings, window_bytes=8_192), tail=300, q=q)
    assert answer.texts == [text for text in texts(*range(200, 500)) if q in text]
    assert (answer.end["lines"], answer.end["complete"]) == (300, True)


def forwards(tail: str) -> bool:
    """Return True if a request is the one that reads a long tail forwards."""
    return tail == "all" or int(tail) > 10_000


@pytest.mark.parametrize("more", [30, 12_000])
def test_a_long_tail_of_a_log_that_grows(server: EngineServer, more: int) -> None:
    """Leave out lines that are written after the request."""
    log = Log(server, numbered(500))

    def grow(tail: str) -> None:
        if forwards(tail):
            log.lines = numbered(500 + more)

    log.before = grow
    answer = read(limited(server.settings, window_bytes=8_192), tail=300)
    assert answer.texts == texts(*range(200, 500))


def test_a_long_tail_of_a_log_that_is_rotated(server: EngineServer) -> None:
    """Report that the first line of the tail is gone."""
    log = Log(server, numbered(500))

    def rotate(tail: str) -> None:
        if forwards(tail):
            log.lines = log.lines[-20:]

    log.before = rotate
    answer = read(limited(server.settings, window_bytes=8_192), tail=300)
    assert answer.texts == []
    assert answer.end["complete"] is False
    assert "rotated while it was read" in answer.end["message"]


# Failures


def test_a_log_that_breaks_off(server: EngineServer, log: Log) -> None:
    """Send what came before, and the reason in the final record."""
    log.break_off()
    answer = read(server.settings)
    assert answer.texts == texts(*range(9))
    assert answer.end == {
        "lines": 9,
        "matched": 9,
        "complete": False,
        "reached": stamp(8),
        "message": "the engine could not read the log: "
        "the engine's log stream ended in the middle of a line",
    }
    assert answer.ended


def test_a_text_that_breaks_off(server: EngineServer, log: Log) -> None:
    """Leave out the last frame, so that the client sees an error."""
    log.break_off()
    answer = read(server.settings, format="text")
    assert answer.body == b"".join(line.text for line in log.lines[:9])
    assert not answer.ended


def test_forward_reading_ends_at_damage(server: EngineServer, log: Log) -> None:
    """Send the lines before the damage, and say that lines are missing."""
    log.damaged = 6
    answer = read(server.settings)
    assert answer.texts == texts(*range(6))
    assert (answer.end["complete"], answer.end["reached"]) == (False, stamp(5))
    assert "the log is damaged" in answer.end["message"]


def test_damage_after_the_range_does_not_matter(server: EngineServer, log: Log) -> None:
    """A range whose end was read is complete."""
    log.damaged = 6
    answer = read(server.settings, until=stamp(3))
    assert (answer.texts, answer.end["complete"]) == (texts(0, 1, 2), True)


@pytest.mark.parametrize("query", [{"order": "desc"}, {"tail": 80}])
def test_backwards_reading_ends_at_damage(server: EngineServer, query: dict[str, Any]) -> None:
    """Send the lines after the damage except for a few, and say that lines are missing."""
    log = Log(server, numbered(100))
    log.damaged = 60
    answer = read(server.settings, **query)
    count = len(answer.texts)
    assert 36 <= count <= 39
    newest = texts(*range(100 - count, 100))
    assert answer.texts == (newest if "tail" in query else newest[::-1])
    assert answer.end["complete"] is False
    assert "the log is damaged" in answer.end["message"]


@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        (404, "No such container", "the container was removed while its log was read"),
        (409, "dead or marked for removal", "the container was removed while its log was read"),
        (500, "disk on fire", "disk on fire"),
    ],
)
def test_the_engine_loses_the_container_meanwhile(
    server: EngineServer, log: Log, status: int, message: str, words: str
) -> None:
    """Distrust the end of a log whose container is gone."""
    body = msgspec.json.encode({"message": message})
    inspected = msgspec.json.encode(log.inspection)

    def inspect(_query: dict[str, str]) -> tuple[int, bytes]:
        return (200, inspected) if len(log.tails) < 2 else (status, body)

    server.computed[INSPECT] = inspect
    answer = read(server.settings)
    assert answer.texts == texts(*range(10))
    assert (answer.end["complete"], answer.end["message"]) == (False, words)


def test_a_reading_that_fails_at_once(server: EngineServer, log: Log) -> None:
    """Answer with a final record, because the engine has accepted the request."""
    server.answer(INSPECT, {}, 404)
    answer = read(server.settings, order="desc")
    assert (answer.head.status, answer.texts) == (200, [])
    assert answer.end["message"] == "the container was removed while its log was read"
    assert (answer.end["complete"], answer.end["reached"]) == (False, None)


def test_the_time_for_one_queryis_limited(server: EngineServer, log: Log) -> None:
    """Name the limit and the setting."""
    answer = read(limited(server.settings, seconds=1e-6))
    assert answer.end["complete"] is False
    assert "the time limit of 1e-06 s (reader.seconds)" in answer.end["message"]


@pytest.fixture
def exit_on_signal() -> Iterator[None]:
    """Raise SystemExit on SIGTERM, as in a child of the supervisor."""

    def leave(*_: object) -> None:
        raise SystemExit(0)

    previous = signal.signal(signal.SIGTERM, leave)
    yield
    signal.signal(signal.SIGTERM, previous)


@pytest.mark.usefixtures("exit_on_signal")
@pytest.mark.parametrize(
    ("seconds", "words"),
    [(60.0, "the service is stopping"), (0.5, "the time limit of 0.5 s (reader.seconds)")],
)
def test_the_reader_is_stopped_meanwhile(
    server: EngineServer, log: Log, seconds: float, words: str
) -> None:
    """Send a final record with the reason, which may be the time limit."""
    inspected = msgspec.json.encode(log.inspection)
    reader = threading.main_thread().ident
    assert reader is not None

    def stop(_query: dict[str, str]) -> tuple[int, bytes]:
        if len(log.tails) == 2:
            time.sleep(0.6 if seconds < 1 else 0.0)
            signal.pthread_kill(reader, signal.SIGTERM)
        return 200, inspected

    server.computed[INSPECT] = stop
    answer = read(limited(server.settings, seconds=seconds))
    assert answer.texts == texts(*range(10))
    assert answer.end["complete"] is False
    assert words in answer.end["message"]


@pytest.mark.parametrize("size", [10, 100_000, 400_000])
def test_slices_of_lines(size: int) -> None:
    """Keep every line in its order, and begin with an empty list."""
    lines = [(b"", 1, b"x" * size) for _ in range(9)]
    parts = list(slices(lines))
    assert [entry for part in parts for entry in part] == lines
    assert parts[0] == []
    assert max(map(len, parts)) == {10: 9, 100_000: 3, 400_000: 1}[size]
    assert list(slices([])) == [[]]
