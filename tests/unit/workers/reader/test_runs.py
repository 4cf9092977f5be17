"""Where a container's starts and ends stand among its older lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mist import clock
from mist.read_request import Order, ReadRequest
from tests.support.engine_server import EngineServer
from tests.support.reading import ID, Line, Log, numbered, read, stamp
from workers.reader.entries import Entry
from workers.reader.runs import Change, Moment, Runs, fold

pytestmark = pytest.mark.usefixtures("watched")


def event(number: int, action: str, **attributes: str) -> bytes:
    """Return an event of the engine at the time of a line."""
    at = clock.nanoseconds(stamp(number))
    return json.dumps(
        {"Action": action, "Actor": {"ID": ID, "Attributes": attributes}, "timeNano": at}
    ).encode()


@pytest.fixture
def log(server: EngineServer) -> Log:
    """A log of ten lines, whose container was restarted after the fourth and ended at the end."""
    log = Log(server, numbered(10))
    log.inspection["Created"] = stamp(0)
    log.inspection["State"] = {
        "Running": False,
        "ExitCode": 3,
        "StartedAt": stamp(5),
        "FinishedAt": stamp(30_000),
    }
    server.answer("/containers/web/json", log.inspection)
    events = (event(0, "start"), event(4, "die", exitCode="0"), event(5, "start"))
    server.answer("/events", b"\n".join(events))
    return log


def told(server: EngineServer, **query: Any) -> list[str]:
    """Return the records of an answer: the numbers of lines, and what happened."""
    answer = read(server.settings, status=True, **query)
    assert answer.end["matched"] == sum(record["type"] == "log" for record in answer.records)
    assert answer.end["complete"] or "limit" in query
    return [
        record["data"]["status"]
        if record["type"] == "status"
        else record["data"]["line"].removeprefix("line ")
        for record in answer.records
    ]


@pytest.mark.parametrize(
    ("query", "records"),
    [
        ({}, "Started 0 1 2 3 4 Restarted 5 6 7 8 9 Exited(3)"),
        ({"order": "desc"}, "Exited(3) 9 8 7 6 5 Restarted 4 3 2 1 0 Started"),
        ({"since": stamp(3), "until": stamp(7)}, "3 4 Restarted 5 6"),
        ({"since": stamp(3), "until": stamp(7), "order": "desc"}, "6 5 Restarted 4 3"),
        ({"until": stamp(5)}, "Started 0 1 2 3 4 Restarted"),
        ({"tail": 6}, "4 Restarted 5 6 7 8 9 Exited(3)"),
        ({"tail": 3}, "7 8 9 Exited(3)"),
        ({"tail": 0}, ""),
        ({"limit": 2}, "Started 0 1"),
        ({"limit": 2, "order": "desc"}, "Exited(3) 9 8"),
        ({"q": "line"}, "0 1 2 3 4 5 6 7 8 9"),
        ({"stream": "stderr"}, "1 3 5 7 9"),
    ],
)
@pytest.mark.usefixtures("log")
def test_changes_stand_where_they_happened(
    server: EngineServer, query: dict[str, Any], records: str
) -> None:
    """A range has its changes in its order; they count for nothing, and a search has none."""
    found = [each.replace("Exited (", "Exited(") for each in told(server, **query)]
    assert found == records.split()


def test_a_change_is_a_message_of_the_websocket_route(server: EngineServer, log: Log) -> None:
    """It is a status with the engine's time."""
    assert log.lines
    first = read(server.settings, status=True).records[0]
    data = {"container": "web", "state": "running", "status": "Started"}
    assert first == {"type": "status", "timestamp": stamp(0), "data": data}


def test_nobody_gets_them_unasked(server: EngineServer, log: Log) -> None:
    """An answer without the parameter has lines alone, and does not ask for events."""
    assert {record["type"] for record in read(server.settings).records} == {"log"}
    assert read(server.settings, status=True, format="text").body == b"".join(
        line.text for line in log.lines
    )
    assert "/events" not in dict(server.queries)


@pytest.mark.parametrize("body", [b"", b"nonsense\n{}\n[1]\n", b'{"Action": "start"}'])
def test_without_events_the_newest_start_is_known(
    server: EngineServer, log: Log, body: bytes
) -> None:
    """The engine may forbid its events, or have forgotten them."""
    assert log.lines
    server.answer("/events", body, 200 if body else 403)
    assert told(server) == ["0", "Started", *"123456789", "Exited (3)"]


def test_a_container_that_never_ran(server: EngineServer, log: Log) -> None:
    """The engine's zero time is not a moment."""
    never = "0001-01-01T00:00:00Z"
    log.inspection["State"] |= {"StartedAt": never, "FinishedAt": never}
    server.answer("/containers/web/json", log.inspection)
    server.answer("/events", b"")
    assert told(server) == [*"0123456789"]


def test_a_late_start_is_not_a_restart() -> None:
    """An end counts by itself if the container was away for long."""
    second = 10**9
    moments = [
        Moment(0, start=True),
        Moment(20 * second, start=False, code="1"),
        Moment(31 * second, start=True),
        Moment(40 * second, start=False, code="0"),
        Moment(50 * second, start=True),
    ]
    changes = fold(moments, 0, 10.0)
    statuses = [change.status for change in changes]
    assert [change.timestamp[17:19] for change in changes] == ["00", "20", "29", "48"]
    assert statuses == ["Started", "Exited (1)", "Started", "Restarted"]


@given(
    numbers=st.lists(st.integers(0, 50), max_size=30),
    changes=st.lists(st.integers(0, 50), max_size=6),
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=30),
    order=st.sampled_from(["asc", "desc"]),
)
def test_no_line_is_lost_and_no_change_is_repeated(
    numbers: list[int], changes: list[int], sizes: list[int], order: Order
) -> None:
    """However the lines are cut into batches, what is sent is in order of time."""
    numbers = sorted(numbers, reverse=order == "desc")
    lines = [entry(Line(number, b"x")) for number in numbers]
    runs = Runs(
        [Change(stamp(number), "running", "Started") for number in changes],
        ReadRequest(user="u", container="web", order=order),
    )
    sent: list[Entry | Change] = []
    for size in sizes * 30:
        for part in runs.among(lines[:size]):
            sent += [part] if isinstance(part, Change) else part
        lines = lines[size:]
    sent += runs.rest()
    assert [each[0].decode() for each in sent if not isinstance(each, Change)] == [
        stamp(number) for number in numbers
    ]
    assert sum(isinstance(each, Change) for each in sent) == len(changes)
    times = [each[0] if isinstance(each, Change) else each[0].decode() for each in sent]
    assert times == sorted(times, reverse=order == "desc")


def entry(line: Line) -> Entry:
    """Return a line as a reader has it."""
    return line.stamp.encode(), line.kind, line.text
