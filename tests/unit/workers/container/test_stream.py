"""Tests of the engine's stream as events, on a real socket pair with the test's clock."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

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
ROTATED = container(rotates_at=1_000_000)
BEFORE = Line(line(0).timestamp.replace(".000", ".999"), "stdout", "before")


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
        verified: bool = True,
    ) -> LogStream:
        """Open the stream for reading; with ``verified``, behind the last published line."""
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
            if verified:
                self.stream.note([BEFORE])
                self.gives(frame(BEFORE))
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


def test_lines_are_events(log: Stream) -> None:
    """The lines of one read are one event; an incomplete frame is none."""
    log.open()
    assert log.gives(frame(line(1), line(2))) == Lines([line(1), line(2)])
    data = frame(line(3))
    assert log.gives(data[:20]) == Idle()
    assert log.gives(data[20:]) == Lines([line(3)])


def test_what_came_with_the_head_is_first(log: Stream) -> None:
    """Bytes that were received with the response's head are not lost."""
    stream = log.open(begun=frame(BEFORE, line(1)), verified=False)
    stream.note([BEFORE])
    assert stream.read() == Lines([line(1)])
    assert log.gives(frame(line(2))) == Lines([line(2)])


def test_lines_that_were_published_are_left_out(log: Stream) -> None:
    """Lines that were published from the log while the stream was opened are left out."""
    stream = log.open()
    stream.note([line(1), line(2)])
    assert log.gives(frame(line(1))) == Idle()
    assert log.gives(frame(line(2), line(3))) == Lines([line(3)])


def test_a_line_that_may_not_be_the_next_is_held_back(log: Stream) -> None:
    """After a pause in which a file may have been written, the log has to be read."""
    stream = log.open(one=ROTATED)
    assert log.gives(frame(line(1), line(9))) == Lines([line(1)])
    assert (stream.read(), stream.read()) == (Suspect(), Suspect())
    assert stream.suspect == line(9)


def test_a_stream_goes_on_behind_what_was_read_from_the_log(log: Stream) -> None:
    """What was held back, and all else up to the line that was published last, is left out."""
    stream = log.open(one=ROTATED)
    log.gives(frame(line(1), line(9)))
    stream.note([line(8), line(9), line(10)])
    stream.resume(ResumePoint(line(10)))
    assert stream.read() == Idle()
    assert not stream.joined
    after = Line(line(10).timestamp.replace(".00", ".05"), "stdout", "next")
    assert log.gives(frame(line(10), after)) == Lines([after])
    assert stream.joined


def test_what_the_log_no_longer_holds_is_published(log: Stream) -> None:
    """Lines that only the stream still has are published as they are."""
    stream = log.open(one=ROTATED)
    log.gives(frame(line(1), line(9)))
    stream.resume(None)
    assert stream.read() == Lines([line(9)])


def test_a_stream_that_skips_the_resume_point_is_suspect(log: Stream) -> None:
    """A resume point that does not come makes the stream suspect."""
    stream = log.open(one=ROTATED)
    log.gives(frame(line(1), line(9)))
    stream.resume(ResumePoint(line(2)))
    assert stream.read() == Idle()
    log.now += LIMITS.retry_seconds
    assert log.gives(frame(line(10))) == Suspect()
    assert not stream.joined


def test_the_first_line_may_not_be_the_next(log: Stream) -> None:
    """The engine opens the log after its answer, so the log shows what was before the stream."""
    stream = log.open(verified=False)
    stream.note([BEFORE])
    assert (log.gives(frame(line(2))), stream.suspect) == (Suspect(), line(2))
    stream.note([line(1), line(2)])
    stream.resume(ResumePoint(line(2)))
    assert stream.read() == Idle()
    assert log.gives(frame(line(3))) == Lines([line(3)])


def test_a_log_in_one_file_is_never_suspect_again(log: Stream) -> None:
    """Nothing can be missing between two lines of a log that is not rotated."""
    log.open()
    assert log.gives(frame(line(1), line(50))) == Lines([line(1), line(50)])


def test_a_busy_stream_of_a_rotated_log_that_falls_silent_is_checked_soon(log: Stream) -> None:
    """The engine may have stopped following the log, so the check does not wait for seconds."""
    stream = log.open(one=ROTATED)
    for _ in range(100):
        log.now += 0.001
        assert log.gives(frame(line(1))) in [Lines([line(1)]), Idle()]
    log.now += 0.2
    assert stream.read() == CheckDue(silent=True)
    log.now += 0.2
    log.broker.sendall(b"!")
    assert stream.read() == Idle()


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
    assert [each for some in stream.all() for each in some] == [line(1, "$ ")]


def test_a_running_containers_unfinished_line_is_not_given(log: Stream) -> None:
    """A running container's unfinished line is not returned."""
    stream = log.open(one=container(tty=True), follow=False)
    log.engine.sendall(f"{line(1).timestamp} $ ".encode())
    log.engine.close()
    assert [each for some in stream.all() for each in some] == []


def test_a_prompt_that_was_published_is_found_again(log: Stream) -> None:
    """A resume point without its end is found, although it is not a whole line."""
    stream = log.open(ResumePoint(line(1, "$ ")), one=container(tty=True), follow=False)
    log.engine.sendall(f"{line(1).timestamp} $ ".encode())
    log.engine.close()
    assert [each for some in stream.all() for each in some] == []
    assert stream.joined


def test_a_log_without_the_resume_point(log: Stream) -> None:
    """Without the resume point, nothing is known to be new."""
    stream = log.open(ResumePoint(line(2)), follow=False)
    log.engine.sendall(frame(line(1), line(3), line(9)))
    log.engine.close()
    assert [each for some in stream.all() for each in some] == []
    assert not stream.joined


def test_a_stream_closes_its_connection(log: Stream) -> None:
    """Closing the stream closes its connection."""
    with log.open():
        pass
    assert log.engine.recv(1) == b""
