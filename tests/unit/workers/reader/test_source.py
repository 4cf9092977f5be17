"""The requests for an engine's log, and the failures of its connection."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mist.settings import EngineSettings
from tests.support.engine_server import EngineServer
from tests.support.reading import INSPECT, LOGS, Line, Log, numbered, stamp
from workers.engine import Reply
from workers.reader.source import EngineLog, Entries, LogBroken

SINCE = "2025-01-15T10:30:00.000000001Z"


@pytest.fixture
def log(server: EngineServer) -> Log:
    """Return a log of three lines."""
    return Log(server, numbered(3))


@pytest.mark.parametrize(
    ("config", "since"),
    [
        ({"Type": "json-file", "Config": {}}, "1736937000.000000001"),
        ({"Type": "json-file", "Config": {"compress": "true"}}, None),
        ({"Type": "local", "Config": None}, None),
        ({"Type": "local", "Config": {"compress": "false"}}, "1736937000.000000001"),
        (None, "1736937000.000000001"),
    ],
)
def test_compressed_files_are_read_from_their_beginning(
    server: EngineServer, log: Log, config: Any, since: str | None
) -> None:
    """Send ``since`` only to an engine that finds it in all of the log's files."""
    source = EngineLog(server.settings, log.inspection | {"HostConfig": {"LogConfig": config}})
    list(source.open(since=SINCE))
    path, query = server.queries[0]
    assert (path, query.get("since"), query["tail"]) == (LOGS, since, "all")
    assert (query["stdout"], query["stderr"], query["timestamps"]) == ("1", "1", "1")


def test_a_time_before_the_epoch(server: EngineServer, log: Log) -> None:
    """Send zero, because the engine misunderstands negative times."""
    list(EngineLog(server.settings, log.inspection).open(since="1960-01-01T00:00:00.000000000Z"))
    assert server.queries[0][1]["since"] == "0.000000000"


def test_the_newest_line(server: EngineServer, log: Log) -> None:
    """Return its time; an empty log has none."""
    source = EngineLog(server.settings, log.inspection)
    assert source.newest() == stamp(2).encode()
    assert log.tails == ["1"]
    log.lines = []
    assert source.newest() == b""


def test_lines_and_pieces_are_counted(server: EngineServer, log: Log) -> None:
    """Count a line of two pieces once, and as two entries of the engine."""
    log.lines = [Line(0, b"x" * 16_384), Line(0, b"y\n"), Line(1, b"z\n")]
    entries = EngineLog(server.settings, log.inspection).open()
    lines = [entry for batch in entries for entry in batch]
    assert [len(text) for _, _, text in lines] == [16_385, 1]
    assert (entries.count, entries.pieces, entries.unterminated) == (2, 3, False)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection to the engine, the reader's first."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0.05)
    with ours, theirs:
        yield ours, theirs


def begun(server: EngineServer, log: Log, connection: socket.socket) -> Entries:
    """Return a response of which the first line has arrived."""
    source = EngineLog(server.settings, log.inspection)
    return Entries(Reply(connection, log.lines[0].framed), source, server.settings)


def test_a_slow_engine_is_waited_for(
    server: EngineServer, log: Log, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Ask whether the container still exists, and wait for the next line."""
    ours, theirs = pair
    inspected = json.dumps(log.inspection).encode()

    def inspect(_query: dict[str, str]) -> tuple[int, bytes]:
        if theirs.fileno() >= 0:
            theirs.sendall(log.lines[1].framed)
            theirs.close()
        return 200, inspected

    server.computed[INSPECT] = inspect
    lines = [entry for batch in begun(server, log, ours) for entry in batch]
    assert [text for _, _, text in lines] == [b"line 0", b"line 1"]


def test_a_silent_engine_that_lost_the_container(
    server: EngineServer, log: Log, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Stop waiting for the next line."""
    del server.answers[INSPECT]
    entries = iter(begun(server, log, pair[0]))
    assert len(next(entries)) == 1
    with pytest.raises(LogBroken, match="the container was removed"):
        next(entries)


def test_a_connection_that_is_reset(
    server: EngineServer, log: Log, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Report it in the operating system's words."""
    ours, theirs = pair
    ours.sendall(b"a request that the engine does not read")
    theirs.close()
    with pytest.raises(
        LogBroken, match=r"^Docker Engine is unreachable: connection reset by peer$"
    ):
        list(begun(server, log, ours))


def test_an_engine_that_is_gone_after_the_log(
    server: EngineServer, log: Log, tmp_path: Path
) -> None:
    """Report it without the engine's address."""
    engine = EngineSettings(host=f"unix://{tmp_path}/nobody")
    settings = msgspec.structs.replace(server.settings, engine=engine)
    with pytest.raises(
        LogBroken, match=r"^Docker Engine is unreachable: no such file or directory$"
    ):
        EngineLog(settings, log.inspection).check()


def test_an_error_in_place_of_a_line(server: EngineServer, log: Log) -> None:
    """Report the engine's words after the lines before it."""
    words = b"Error grabbing logs: EOF"
    error = b"\x03\x00\x00\x00" + len(words).to_bytes(4, "big") + words
    server.computed[LOGS] = lambda _query: (200, log.lines[0].framed + error)
    entries = iter(EngineLog(server.settings, log.inspection).open())
    assert len(next(entries)) == 1
    with pytest.raises(LogBroken, match="could not read the log: Error grabbing logs: EOF"):
        next(entries)
