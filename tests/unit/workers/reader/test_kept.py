"""The lines of replaced containers come before those of the present one."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mist.paths import Paths
from mist.process import Assignment
from mist.read_request import ReadRequest
from tests.support.engine_server import EngineServer
from tests.support.reading import (
    ID,
    INSPECT,
    LOGS,
    Answer,
    Line,
    Log,
    numbered,
    receive,
    stamp,
)
from workers import kept_logs
from workers.reader import main as reader

pytestmark = pytest.mark.usefixtures("watched")

#: The numbers of the lines in each segment of each replaced container, and of the present one.
FIRST, SECOND, PRESENT = [range(3), range(3, 4)], [range(4, 9)], range(9, 15)


def keep(paths: Paths, deployment: int, lines: list[list[Line]], **about: Any) -> Path:
    """Write what a deployment has kept of a container; return the file."""
    path = paths.kept_log(3, deployment)
    writer = kept_logs.Writer(path)
    for segment in reversed(lines):
        writer.add([(line.stamp.encode(), line.kind, line.text[:-1]) for line in segment])
    fields: dict[str, Any] = {"container": "cd" * 32, "tty": False}
    writer.finish(kept_logs.About(**(fields | about)))
    return path


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Return a home with the logs of two replaced containers of application 3."""
    paths, lines = Paths(tmp_path, tmp_path), numbered(15)
    keep(paths, 10, [[lines[at] for at in segment] for segment in SECOND])
    keep(paths, 9, [[lines[at] for at in segment] for segment in FIRST])
    return paths


@pytest.fixture
def log(server: EngineServer) -> Log:
    """Return the log of the present container."""
    return Log(server, [numbered(15)[at] for at in PRESENT])


def read(server: EngineServer, paths: Paths, **query: Any) -> Answer:
    """Return the answer of a reader for application 3."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(30)
    fields: dict[str, Any] = {"user": "ada", "app_id": 3, "container": "web"}
    asked = ReadRequest(**(fields | query))
    with ours, theirs, ThreadPoolExecutor(1) as client:
        answer = client.submit(receive, theirs)
        reader.main(Assignment("reader", 1, 0, False), server.settings, paths, asked, ours)
        return answer.result(30)


def queries(
    last: int, lines: int, words: list[str], **more: st.SearchStrategy[str]
) -> st.SearchStrategy[dict[str, Any]]:
    """Return queries for times up to a second ``last``, for up to ``lines`` lines and for words."""
    return st.fixed_dictionaries(
        {"order": st.sampled_from(["asc", "desc"])},
        optional={
            "since": st.integers(0, last).map(stamp),
            "until": st.integers(0, last).map(stamp),
            "tail": st.integers(0, lines),
            "limit": st.integers(1, lines),
            "q": st.sampled_from(words),
            **more,
        },
    ).filter(lambda query: "tail" not in query or query["order"] == "asc")


def chosen(query: dict[str, Any]) -> list[str]:
    """Return the texts that a query chooses among all lines."""
    lines = [
        line
        for line in numbered(15)
        if query.get("since", "") <= line.stamp < query.get("until", "~")
    ]
    if "tail" in query:
        lines = lines[max(0, len(lines) - query["tail"]) :]
    wanted = {"stdout": 1, "stderr": 2}.get(query.get("stream", ""))
    lines = [line for line in lines if wanted in (None, line.kind)]
    texts = [line.text.decode()[:-1] for line in lines]
    texts = [text for text in texts if query.get("q", "") in text]
    return texts[:: -1 if query["order"] == "desc" else 1][: query.get("limit")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=queries(15, 17, ["1", "line", "nothing"], stream=st.sampled_from(["stdout", "stderr"]))
)
def test_any_query_reads_across_the_border(
    server: EngineServer, log: Log, paths: Paths, query: dict[str, Any]
) -> None:
    """Each line comes once and in order, whichever container wrote it."""
    answer = read(server, paths, **query)
    assert answer.texts == chosen(query)
    assert "message" not in answer.end


def test_a_container_by_its_name_is_read_alone(
    server: EngineServer, log: Log, paths: Paths
) -> None:
    """Without an application there are no replaced containers."""
    answer = read(server, paths, app_id=None)
    assert answer.texts == [f"line {number}" for number in PRESENT]
    other = read(server, paths, app_id=4)
    assert other.texts == [f"line {number}" for number in PRESENT]


def test_the_log_of_a_container_that_is_back_is_left_out(
    server: EngineServer, log: Log, paths: Paths
) -> None:
    """A deployment that is being undone has kept the log of what is the present container."""
    keep(paths, 11, [log.lines], container=ID)
    for order in ("asc", "desc"):
        assert len(read(server, paths, order=order).texts) == 15


def test_each_container_may_have_a_terminal(server: EngineServer, log: Log, paths: Paths) -> None:
    """A terminal's lines end with CR LF; messages and searches are without the CR."""
    lines = [Line(2, b"prompt\r\n"), Line(3, b"end\r\n")]
    keep(paths, 10, [lines], tty=True)
    text = read(server, paths, since=stamp(2), format="text", order="desc").body
    assert text.splitlines(keepends=True)[-4:-2] == [b"end\r\n", b"prompt\r\n"]
    assert read(server, paths, since=stamp(2), q="^(end|line 9)$", regex=True).texts == [
        "end",
        "line 9",
    ]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [*range(4), *PRESENT]),
        ({"order": "desc"}, [*range(4), *PRESENT][::-1]),
        ({"tail": 8}, [2, 3, *PRESENT]),
        ({"q": "line"}, [*range(4), *PRESENT]),
    ],
)
def test_a_damaged_segment_is_left_out(
    server: EngineServer, log: Log, paths: Paths, query: dict[str, Any], numbers: list[int]
) -> None:
    """The other lines come, and then the answer ends as incomplete."""
    path = paths.kept_log(3, 10)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF  # in the compressed lines
    path.write_bytes(data)
    answer = read(server, paths, **query)
    assert answer.texts == [f"line {number}" for number in numbers]
    assert answer.end["complete"] is False
    message = "the log that deployment 10 kept is damaged; lines are missing"
    assert answer.end["message"] == message
    assert not read(server, paths, format="text", **query).ended


def test_damage_outside_the_range_does_not_matter(
    server: EngineServer, log: Log, paths: Paths
) -> None:
    """A segment that cannot have a line of the range is not unpacked."""
    path = paths.kept_log(3, 10)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    for query in ({"until": stamp(4)}, {"since": stamp(9)}, {"tail": 6}):
        assert read(server, paths, **query).end["complete"] is True


def test_errors_of_the_engine_come_before_kept_lines(
    server: EngineServer, log: Log, paths: Paths
) -> None:
    """A log driver that cannot be read gets 409, whatever was kept."""
    log.refuse(501, "configured logging driver does not support reading")
    assert read(server, paths).head.status == 409


OLD = "ef" * 32


@pytest.fixture
def replacing(server: EngineServer, log: Log) -> Log:
    """Return the log of a container that is set aside while the present one is watched."""
    old = Log(server, [Line(number, b"old %d\n" % number) for number in (7, 8)])
    kept = server.computed.pop(LOGS)
    log.inspection["Config"]["Labels"] = {"mist.replaces": OLD, "mist.deployment": "12"}
    old.inspection |= {"Id": OLD, "Name": "/web-before-12"}
    server.answer("/containers/web/json", log.inspection)
    server.answer(INSPECT, log.inspection)
    server.answer(f"/containers/{OLD}/json", old.inspection)
    server.computed[f"/containers/{OLD}/logs"] = kept
    server.computed[LOGS] = log._answer
    return old


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_container_that_is_being_replaced_is_read_too(
    server: EngineServer, log: Log, paths: Paths, replacing: Log, order: str
) -> None:
    """Its log is not kept yet, or is, but the container is not removed yet."""
    step = 1 if order == "asc" else -1
    present = [f"line {number}" for number in PRESENT]
    expected = [f"line {number}" for number in range(9)] + ["old 7", "old 8"] + present
    assert read(server, paths, order=order).texts == expected[::step]
    keep(paths, 12, [replacing.lines], container=OLD)
    answer = read(server, paths, order=order)
    assert answer.texts == expected[::step]
    assert answer.end["complete"] is True
    if order == "asc":
        for count in (5, 7, 8, 9, 20):
            assert read(server, paths, tail=count).texts == expected[-count:]


def test_only_a_container_that_was_set_aside_is_read(
    server: EngineServer, log: Log, paths: Paths, replacing: Log
) -> None:
    """A label alone gives no access to another container's log."""
    replacing.inspection["Name"] = "/secret"
    server.answer(f"/containers/{OLD}/json", replacing.inspection)
    assert len(read(server, paths).texts) == 15


#: The times of the lines of four containers, the last of which is present.  Each starts before
#: the one before it has stopped; the third one wrote all of its lines meanwhile.
OVERLAPPING = [range(0, 60, 3), range(40, 120, 4), range(90, 100), range(80, 200, 5)]


def create(server: EngineServer, log: Log, time: str) -> None:
    """Let the engine say that a container was created at a time."""
    log.inspection["Created"] = time
    name, of = log.inspection["Name"], log.inspection["Id"]
    server.answer(f"/containers{name}/json", log.inspection)
    server.answer(f"/containers/{of}/json", log.inspection)


@pytest.fixture
def overlapping(server: EngineServer, tmp_path: Path) -> tuple[Paths, list[list[Line]]]:
    """Return a home with three kept logs, and the lines of all four containers."""
    paths = Paths(tmp_path, tmp_path)
    containers = [
        [Line(time, b"line %d of %d\n" % (time, at), 1 + time % 2) for time in times]
        for at, times in enumerate(OVERLAPPING)
    ]
    for deployment, lines in enumerate(containers[:-1], 9):
        keep(paths, deployment, [lines[at : at + 6] for at in range(0, len(lines), 6)])
    present = Log(server, containers[-1])
    create(server, present, "2025-01-15T10:30:00.07Z")
    return paths, containers


def piece(containers: list[list[Line]], query: dict[str, Any]) -> list[str]:
    """Return the texts of one piece of the log, which the limits of its ends cut out."""
    since, until = query.get("since", ""), query.get("until", "~")
    begun = [lines[0].stamp < until for lines in containers[:-1]] + [stamp(70) < until]
    oldest = min((at for at in range(4) if containers[at][-1].stamp >= since), default=4)
    newest = max((at for at in range(4) if begun[at]), default=-1)
    lines = [
        line
        for at, container in enumerate(containers)
        for line in container
        if (at > oldest or line.stamp >= since) and (at < newest or line.stamp < until)
    ]
    if "tail" in query:
        lines = lines[max(0, len(lines) - query["tail"]) :]
    texts = [line.text.decode()[:-1] for line in lines]
    texts = [text for text in texts if query.get("q", "") in text]
    return texts[:: -1 if query["order"] == "desc" else 1][: query.get("limit")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries(210, 100, ["1", "of 1", "nothing"]))
def test_a_seam_is_one_piece_of_the_log(
    server: EngineServer, overlapping: tuple[Paths, list[list[Line]]], query: dict[str, Any]
) -> None:
    """No line between the first and the last one is left out, whatever its time is."""
    paths, containers = overlapping
    answer = read(server, paths, seam=True, **query)
    assert answer.texts == piece(containers, query)
    assert "message" not in answer.end


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_each_line_leads_to_all_before_and_after_it(
    server: EngineServer, overlapping: tuple[Paths, list[list[Line]]], order: str, at: int
) -> None:
    """A range that begins or ends at a line's time has everything on that side of it."""
    paths, containers = overlapping
    texts = [line.text.decode()[:-1] for lines in containers for line in lines]
    for line in containers[at]:
        place = texts.index(line.text.decode()[:-1])
        if order == "asc":
            after = read(server, paths, seam=True, since=line.stamp).texts
            assert after[-len(texts[place:]) :] == texts[place:]
        else:
            until = stamp(line.number + 1)
            before = read(server, paths, seam=True, until=until, order="desc").texts
            assert before[::-1][: place + 1] == texts[: place + 1]


def test_a_seam_goes_across_a_container_that_is_being_replaced(
    server: EngineServer, log: Log, paths: Paths, replacing: Log
) -> None:
    """Its log is still at the engine."""
    create(server, log, stamp(5))
    create(server, replacing, stamp(4))
    log.lines[:0] = [Line(6, b"new 6\n")]
    old = [*range(9)]
    kept = [f"line {number}" for number in old]
    present = ["new 6", *(f"line {number}" for number in PRESENT)]
    assert read(server, paths, seam=True, until=stamp(7), order="desc").texts == [
        "new 6",
        *("old 8", "old 7"),
        *kept[::-1],
    ]
    assert read(server, paths, seam=True, since=stamp(8)).texts == [
        "line 8",
        "old 7",
        "old 8",
        *present,
    ]
    assert read(server, paths, seam=True, until=stamp(4)).texts == kept[:4]
