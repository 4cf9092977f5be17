"""Tests of the engine's stream as events, on a real socket pair with the test's clock."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from mist import clock
from mist.settings import CollectorSettings
from tests.support.collecting import container, line
from workers import engine
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.resume import ResumePoint
from workers.container.stream import (
    CheckDue,
    Ended,
    Idle,
    Lines,
    LogStream,
    StreamEvent,
    Suspect,
)

LIMITS = CollectorSettings(silence_seconds=5.0, retry_seconds=0.25)


def frame(*lines: Line) -> bytes:
    """Return the engine's frames for some lines."""
    payloads = [f"{one.timestamp} {one.text}\n".encode() for one in lines]
    return b"".join(struct.pack("!BxxxI", 1, len(each)) + each for each in payloads)


class Stream:
    """A stream and the engine's end of it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.written_meanwhile = b""
        self.engine, self._ours = socket.socketpair()
        self.broker, self._wake = socket.socketpair()
        self.stream: LogStream

    def open(
        self,
        resume: ResumePoint | None = None,
        begun: bytes = b"",
        one: Container | None = None,
        *,
        follow: bool = True,
    ) -> LogStream:
        """Open the stream for reading."""
        reply = engine.Reply(self._ours, begun)
        self.stream = LogStream(
            reply,
            one or container(),
            LIMITS,
            resume,
            clock=lambda: self.now,
            sleep=self.sleep,
            collectors=lambda: 3,
        )
        if follow:
            self.stream.follow(self._wake.fileno())
        return self.stream

    def sleep(self, seconds: float) -> None:
        """Advance the time; the container may write meanwhile."""
        self.engine.sendall(self.written_meanwhile)
        self.now += seconds
        self.slept.append(seconds)

    def gives(self, data: bytes) -> StreamEvent:
        """Return the event for bytes that the engine sends."""
        self.engine.sendall(data)
        return self.stream.read()

    def close(self) -> None:
        """Close every socket."""
        for each in (self.engine, self._ours, self.broker, self._wake):
            each.close()


@pytest.fixture
def log() -> Iterator[Stream]:
    """A stream that is not open yet."""
    made = Stream()
    yield made
    made.close()


def fresh(age_seconds: float = 0.0) -> Line:
    """Return a line with the current time."""
    stamp = clock.rfc3339(time.time_ns() - int(age_seconds * 1e9))
    return Line(stamp, "stdout", "text")


def test_lines_are_events(log: Stream) -> None:
    """The lines of one read are one event; an incomplete frame is none."""
    log.open()
    assert log.gives(frame(line(1), line(2))) == Lines([line(1), line(2)])
    data = frame(line(3))
    assert log.gives(data[:20]) == Idle()
    assert log.gives(data[20:]) == Lines([line(3)])


def test_what_came_with_the_head_is_first(log: Stream) -> None:
    """Bytes that were received with the response's head are not lost."""
    stream = log.open(begun=frame(line(1)))
    assert stream.read() == Lines([line(1)])
    assert log.gives(frame(line(2))) == Lines([line(2)])


def test_lines_that_were_published_are_left_out(log: Stream) -> None:
    """Lines up to and including the resume point are left out."""
    stream = log.open(ResumePoint(line(2)))
    assert log.gives(frame(line(1))) == Idle()
    assert not stream.joined
    assert log.gives(frame(line(2), line(3))) == Lines([line(3)])
    assert stream.joined


def test_a_resume_point_that_is_gone_is_suspect(log: Stream) -> None:
    """A line later than the resume point makes the stream suspect."""
    log.open(ResumePoint(line(2)))
    assert log.gives(frame(line(9))) == Suspect()


def test_a_resume_point_that_does_not_come_is_suspect(log: Stream) -> None:
    """A resume point that does not come makes the stream suspect, so that few lines are held."""
    stream = log.open(ResumePoint(line(2)))
    log.now += LIMITS.retry_seconds
    assert stream.read() == Suspect()


def test_old_lines_of_a_log_that_rotates_are_suspect(log: Stream) -> None:
    """Old lines of a rotating log are suspect and are not returned."""
    log.open(one=container(rotates_at=100_000_000))
    recent = fresh()
    assert log.gives(frame(recent)) == Lines([recent])
    assert log.gives(frame(fresh(age_seconds=1.0))) == Suspect()


def test_old_lines_of_a_log_in_one_file_are_not(log: Stream) -> None:
    """Old lines of a log in one file are not suspect, because nothing can be missing."""
    log.open()
    late = fresh(age_seconds=60.0)
    assert log.gives(frame(late)) == Lines([late])


def test_the_end_and_every_read_after_it(log: Stream) -> None:
    """A broken connection is an end without a failure, and so is every later read."""
    stream = log.open()
    log.engine.close()
    assert stream.read() == Idle()
    assert [stream.read(), stream.read()] == [Ended(), Ended()]


def test_the_engines_complaint_ends_the_stream(log: Stream) -> None:
    """The engine's complaint ends the stream after the lines before it."""
    stream = log.open()
    words = b"error from daemon in stream"
    complaint = struct.pack("!BxxxI", 3, len(words)) + words
    assert log.gives(frame(line(1)) + complaint + frame(line(2))) == Lines([line(1)])
    assert stream.read() == Ended(words.decode())


def test_a_check_is_due_when_nothing_came_for_some_seconds(log: Stream) -> None:
    """A check is due after some quiet seconds, and tells if lines came since the last one."""
    stream = log.open()
    assert log.gives(frame(line(1))) == Lines([line(1)])
    log.now += LIMITS.silence_seconds
    assert stream.read() == CheckDue(silent=False)
    log.now += LIMITS.silence_seconds
    assert stream.read() == CheckDue(silent=True)


def test_a_check_is_due_in_a_flood(log: Stream) -> None:
    """A check is due during a flood as well, because the container may be renamed."""
    stream = log.open()
    log.gives(frame(line(1)))
    log.now += LIMITS.silence_seconds
    assert log.gives(frame(line(2))) == CheckDue(silent=False)
    assert stream.read() == Lines([line(2)])


def test_the_broker_interrupts_a_read(log: Stream) -> None:
    """The broker interrupts a read without lines."""
    stream = log.open()
    log.broker.sendall(b"!")
    assert stream.read() == Idle()


def test_lines_that_keep_coming_are_coalesced(log: Stream) -> None:
    """Three collectors share a thousand reads a second; the first line is read at once."""
    log.open()
    log.now += 1.0
    log.gives(frame(line(1)))
    assert log.slept == []
    log.broker.sendall(b"!")
    log.written_meanwhile = frame(line(2))
    assert log.stream.read() == Lines([line(2)])
    assert log.slept == [pytest.approx(0.003)]


def test_a_whole_log_ends_with_the_line_that_never_ended(log: Stream) -> None:
    """The unfinished line of an ended container is returned."""
    stream = log.open(one=container(tty=True, running=False), follow=False)
    log.engine.sendall(f"{line(1).timestamp} $ ".encode())
    log.engine.close()
    assert [each for some in stream.all(whole=True) for each in some] == [line(1, "$ ")]


def test_a_running_containers_unfinished_line_is_not_given(log: Stream) -> None:
    """A running container's unfinished line is not returned."""
    stream = log.open(one=container(tty=True), follow=False)
    log.engine.sendall(f"{line(1).timestamp} $ ".encode())
    log.engine.close()
    assert [each for some in stream.all(whole=True) for each in some] == []


@pytest.mark.parametrize(("whole", "given"), [(True, [line(3), line(9)]), (False, [])])
def test_a_log_without_the_resume_point(log: Stream, whole: bool, given: list[Line]) -> None:
    """Without the resume point in the whole log, later lines are new."""
    stream = log.open(ResumePoint(line(2)), follow=False)
    log.engine.sendall(frame(line(1), line(3), line(9)))
    log.engine.close()
    assert [each for some in stream.all(whole=whole) for each in some] == given
    assert stream.joined is whole


def test_a_stream_closes_its_connection(log: Stream) -> None:
    """Closing the stream closes its connection."""
    with log.open():
        pass
    assert log.engine.recv(1) == b""
