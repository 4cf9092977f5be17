"""The collector with an engine whose streams repeat and skip lines and whose clock steps."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from bus.wire import Kind
from mist import clock, messages
from tests.support.collecting import (
    SETTINGS,
    Clock,
    FakeApp,
    FakeBus,
    FakeEvents,
    container,
    stopped,
)
from workers import engine
from workers.container.collector import Collector
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.publisher import LogPublisher
from workers.container.resume import ResumePoint
from workers.container.states import State
from workers.container.stream import LogStream

START = 1_736_935_200_000_000_000


def frame(line: Line) -> bytes:
    """Return the engine's frame for a line."""
    payload = f"{line.timestamp} {line.text}\n".encode()
    return struct.pack("!BxxxI", 1 if line.stream == "stdout" else 2, len(payload)) + payload


class Connection:
    """A connection that gives one part of an answer for each read."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._socket = socket.socket()

    def recv(self, _size: int) -> bytes:
        """Return the next part, or b"" at the end."""
        return next(self._parts, b"")

    def setblocking(self, _blocking: bool) -> None:
        """Do nothing."""

    def gettimeout(self) -> float:
        """Return the longest wait of a read, which a collector announces."""
        return 10.0

    def fileno(self) -> int:
        """Return a descriptor that poll(2) accepts."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the descriptor."""
        self._socket.close()


class UnsteadyEngine:
    """An engine that writes ``log`` while its stream is read, with faults of the test's choice."""

    def __init__(
        self, log: list[Line], faults: list[tuple[int, int, int]], one: Container, wake: int
    ) -> None:
        self.log = log
        self.written = 0
        self._faults = faults
        self._one = one
        self._wake = wake

    def events(self, _wake: int) -> FakeEvents:
        """Return events of which none happens."""
        return FakeEvents()

    def look(self, _name: str, _followed: str = "") -> Container:
        """Return the container, which ends with its log."""
        if self.written < len(self.log):
            return self._one
        return stopped(rotates_at=self._one.rotates_at)

    def words(self, one: Container) -> str:
        """Return the state."""
        return one.state

    def history(
        self,
        one: Container,
        resume: ResumePoint | None,
        tail: int | None,
        *,
        near: bool = False,
    ) -> LogStream:
        """Return what is written so far."""
        shown = self.log[: self.written]
        shown = shown if tail is None else shown[-tail:]
        if near and resume and self._one.compressed:
            since = clock.nanoseconds(resume.line.timestamp) - 1_000_000_000
            shown = [line for line in shown if clock.nanoseconds(line.timestamp) >= since]
        return self._stream(map(frame, shown), resume)

    def follow(self, one: Container, *, wake: int) -> LogStream:
        """Return what is written from now on."""
        stream = self._stream(self._parts(), None)
        stream.follow(self._wake)
        return stream

    def last_line(self, one: Container, resume: ResumePoint | None) -> Line | None:
        """Return the newest line."""
        return self.log[self.written - 1] if self.written else None

    def _parts(self) -> Iterator[bytes]:
        at = self.written
        while at < len(self.log):
            again, skipped, size = self._faults.pop() if self._faults else (0, 0, 3)
            lines = self.log[max(0, at - again) : at] if again else []
            at = min(len(self.log) - 1, at + skipped)
            lines = lines + self.log[at : at + size]
            at = min(len(self.log), at + size)
            # The engine writes a line to the file before it gives it to a reader.
            self.written = max(self.written, at)
            yield b"".join(map(frame, lines))

    def _stream(self, parts: Iterator[bytes], resume: ResumePoint | None) -> LogStream:
        reply = engine.Reply(cast(Any, Connection(parts)), b"")
        return LogStream(
            reply,
            self._one,
            SETTINGS.collector,
            resume,
            collectors=lambda: 1,
            sleep=lambda _seconds: None,
        )


def lines_of(steps: list[tuple[int, bool]]) -> list[Line]:
    """Return a log whose clock goes on by so many milliseconds each time, or back."""
    at, log = START, []
    for number, (milliseconds, err) in enumerate(steps):
        at += milliseconds * 1_000_000 + 1
        log.append(Line(clock.rfc3339(at), "stderr" if err else "stdout", f"line {number}"))
    return log


def collected(
    log: list[Line],
    faults: list[tuple[int, int, int]],
    rotates_at: int | None,
    *,
    compressed: bool = False,
) -> Any:
    """Return the lines and the kinds that the collector publishes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bus = FakeBus(Clock())
        one = container(rotates_at=rotates_at, compressed=compressed)
        source = UnsteadyEngine(log, faults, one, ours.fileno())
        out = LogPublisher(bus, SETTINGS)
        collector = Collector(FakeApp(), cast(Any, source), out, SETTINGS, bus.clock)
        for _ in range(1_000):
            collector.step()
            if collector.state is State.ENDED:
                break
    bodies = [body for kind, _, _, body in bus.published if kind is Kind.LOG]
    texts = [messages.read_log(each).data.line for body in bodies for each in body.split(b"\n")]
    return texts, {kind for kind, *_ in bus.published}


_STEPS = st.lists(
    st.tuples(st.sampled_from([0, 1, 1, 1, 200, 3_600_000, -3_600_000]), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(_STEPS, st.lists(st.tuples(st.integers(0, 8), st.just(0), st.integers(1, 6)), max_size=30))
def test_any_repetition_and_any_step_of_the_clock(
    steps: list[tuple[int, bool]], faults: list[tuple[int, int, int]]
) -> None:
    """Each line comes once and in order, whatever is repeated and whatever the clock shows."""
    log = lines_of(steps)
    for rotates_at, compressed in itertools.product((100_000_000, 1_000), (False, True)):
        texts, kinds = collected(log, list(faults), rotates_at, compressed=compressed)
        assert texts == [line.text for line in log]
        assert Kind.SKIPPED not in kinds


@given(
    _STEPS,
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 9), st.integers(1, 6)), max_size=30),
)
def test_any_file_that_the_stream_skips(
    steps: list[tuple[int, bool]], faults: list[tuple[int, int, int]]
) -> None:
    """What a stream skips is read from the log, if a file can be written in that time."""
    log = lines_of(steps)
    # A file of no bytes can be written in no time.
    # An engine with compressed files is asked by time, so the clock must not have been set
    # back among lines that the stream does not show.
    steady = all(milliseconds >= 0 for milliseconds, _ in steps)
    for compressed in {False, steady}:
        texts, kinds = collected(log, list(faults), 0, compressed=compressed)
        assert texts == [line.text for line in log]
        assert Kind.SKIPPED not in kinds
