"""A model of the seam: whatever the pace of bus and reader, each line comes once, in order."""

from __future__ import annotations

from collections import deque
from typing import cast
from unittest.mock import patch

import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.follower import Follower, Item
from bus.wire import Flag, Header, Kind, Message
from cli import log_source, logs
from cli.log_reader import BrokenOff, LogReader
from cli.log_source import Source
from mist import clock, messages
from mist.messages import ContainerStatus, LogMessage
from mist.read_request import ReadRequest
from mist.settings import Settings
from tests.unit.cli.test_log_source import NOTHING

BEGIN = 1_736_937_000_000_000_000
SETTINGS = Settings()


class Engine:
    """A container's log; lines of its two streams are out of order by up to 0.4 s."""

    def __init__(self) -> None:
        self.log: list[LogMessage] = []

    def write(self, jitters: list[int]) -> None:
        """Write a line for each of these tenths of a second."""
        for jitter in jitters:
            # Every other line may have the time of the one before.
            number = len(self.log) // 2
            time = clock.rfc3339(BEGIN + number * 300_000_000 + jitter * 100_000_000)
            body = messages.log(
                time, f"{number % 5} {len(self.log)}", "stdout" if jitter < 3 else "stderr"
            )
            self.log.append(messages.read_log(body))


class Bus:
    """A topic that brings what was written, when it may."""

    def __init__(self, engine: Engine, history: int) -> None:
        self._engine = engine
        self._history = history
        self._position = 0
        self._number = 0
        self.flows = True

    def take(self, timeout: float) -> list[Item]:
        """Return the history at first, then what was written since."""
        if not self.flows:
            return []
        lines = self._engine.log[self._position :]
        self._position = len(self._engine.log)
        if self._number == 0:
            status = messages.status(ContainerStatus("web", "running", "Up"))
            remembered = lines[max(0, len(lines) - self._history) :]
            return [
                self._message(Kind.STATUS, status, Flag.HISTORY),
                *self._lines(remembered, Flag.HISTORY),
                self._message(Kind.READY, b"", Flag(0)),
            ]
        return [*self._lines(lines, Flag(0))]

    def watch(self, poller: zmq.Poller) -> float:
        """Not called."""
        raise AssertionError

    def close(self) -> None:
        """Do nothing."""

    def _lines(self, lines: list[LogMessage], flags: Flag) -> list[Message]:
        if not lines:
            return []
        records = [messages.log(one.timestamp, one.data.line, one.data.stream) for one in lines]
        return [self._message(Kind.LOG, b"\n".join(records), flags)]

    def _message(self, kind: Kind, body: bytes, flags: Flag) -> Message:
        self._number += 1
        return Message(b"t", Header(kind, 1, 1, self._number, 1, flags), body)


class Reader:
    """A reader that reads the log piece by piece, until it has reached the end."""

    failure = ""
    due = float("inf")

    def __init__(self, engine: Engine, request: ReadRequest, pace: int) -> None:
        self._engine = engine
        self._request = request
        self._position = 0
        self._pace = pace
        self._sent: deque[list[LogMessage]] = deque()
        self._ended = False
        self.breaks = False
        self.done = False

    def read(self) -> None:
        """Send the lines of the next piece that are in the range and match."""
        if self._ended:
            return
        piece = self._engine.log[self._position : self._position + self._pace]
        self._position += len(piece)
        self._ended = self._position == len(self._engine.log)
        since, q = self._request.since or "", self._request.q
        lines = [one for one in piece if one.timestamp >= since and q in one.data.line]
        self._sent.append(lines)

    def take(self) -> list[LogMessage]:
        """Return a piece that was sent."""
        if self.breaks:
            raise BrokenOff
        if not self._sent:
            self.read()
        lines = self._sent.popleft()
        self.done = self._ended and not self._sent
        return lines

    def fileno(self) -> int:
        """Not called."""
        raise AssertionError

    def close(self) -> None:
        """Do nothing."""


ACTIONS = st.one_of(
    st.tuples(st.just("write"), st.lists(st.integers(0, 4), min_size=1, max_size=9)),
    st.tuples(st.just("bus"), st.booleans()),
    st.tuples(st.just("break"), st.none()),
    st.tuples(st.just("drain"), st.none()),
    st.tuples(st.just("pump"), st.none()),
    st.tuples(st.just("read"), st.none()),
)


@settings(max_examples=100, deadline=None)
@given(
    before=st.lists(st.integers(0, 4), max_size=30),
    since=st.none() | st.integers(0, 5),
    pattern=st.sampled_from(["", "3 "]),
    history=st.integers(0, 8),
    pace=st.integers(1, 9),
    most=st.sampled_from([3, 10, 1_000]),
    actions=st.lists(ACTIONS, max_size=40),
)
def test_each_line_comes_once(
    before: list[int],
    since: int | None,
    pattern: str,
    history: int,
    pace: int,
    most: int,
    actions: list[tuple[str, object]],
) -> None:
    """All lines of the range that match are there, in the engine's order."""
    engine = Engine()
    engine.write(before)
    bus = Bus(engine, history)
    readers: list[Reader] = []

    def ask(request: ReadRequest) -> LogReader:
        readers.append(Reader(engine, request, pace))
        return cast(LogReader, readers[-1])

    begin = clock.rfc3339(BEGIN + (since or 0) * 300_000_000)
    options = NOTHING._replace(since=begin, grep=pattern or None)
    found: list[LogMessage] = []
    with patch.object(log_source, "_MOST", most):
        choice = logs.choose(options, SETTINGS)
        source = Source(choice, SETTINGS, ask, cast(Follower, bus))

        def drain() -> None:
            while source.queue:
                entry = source.next()
                assert not isinstance(entry, log_source.Note), entry
                if isinstance(entry, LogMessage):
                    found.append(entry)

        for action, value in actions:
            if action == "write":
                engine.write(cast(list[int], value))
            elif action == "bus":
                bus.flows = bool(value)
            elif action == "break" and source.reader is not None and found:
                # Only a reader that has sent something may give up.
                readers[-1].breaks = source._again is None or source._again.joined
            elif action == "read" and source.reader is not None:
                readers[-1].read()
                continue
            elif action == "drain":
                drain()
            source.pump()
        bus.flows = True
        for _ in range(300):
            source.pump()
            drain()
            if not source.reading and len(found) >= len(engine.log):
                break
    wanted = [one for one in engine.log if one.timestamp >= begin and pattern in one.data.line]
    assert found == wanted
