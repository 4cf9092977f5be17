"""The stream of a container's log as events, paced and without duplicates."""

from __future__ import annotations

import math
import select
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol, Self

import msgspec

from mist import heartbeat
from mist.settings import CollectorSettings
from workers import engine
from workers.container import rotation
from workers.container.container import Container
from workers.container.frames import Line, parser
from workers.container.pacing import ReadPacer
from workers.container.resume import Deduplicator, ResumePoint
from workers.container.rotation import Continuity

# The size of one read.  Larger reads are no faster, and the allocator keeps their memory.
RECEIVE_BYTES: Final = 65_536

# The delay between reads of a history, in seconds.  It is short, because the reader waits
# for the whole history.
_HISTORY_SECONDS: Final = 0.0003


class Lines(msgspec.Struct, frozen=True):
    """New lines."""

    lines: list[Line]


class Idle(msgspec.Struct, frozen=True):
    """Nothing new arrived; the next read waits."""


class CheckDue(msgspec.Struct, frozen=True):
    """It is time to ask the engine if this is still the stream to follow.

    ``silent`` means that nothing arrived since the last check.
    """

    silent: bool


class Suspect(msgspec.Struct, frozen=True):
    """The next lines may not follow the last one; read the log, which shows the truth."""


class Ended(msgspec.Struct, frozen=True):
    """The stream ended; ``failure`` is the engine's error message, if it sent one."""

    failure: str = ""


StreamEvent = Lines | Idle | CheckDue | Suspect | Ended

# A stream of a rotated log is silent if nothing came for this many of its usual intervals,
# and for at least this many seconds.
_QUIET_INTERVALS: Final = 20
_QUIET_SECONDS: Final = 0.1

_IDLE: Final = Idle()
_SUSPECT: Final = Suspect()


class LogStream:
    """The engine's answer to one request for a log.

    ``read`` returns the events of a log that is followed; ``all`` yields the lines of a
    log that is read to its end.  ``all`` leaves out the lines up to the resume point.
    ``read`` leaves out those that were published, and holds back those that may not follow
    the last one until the caller has read the log and calls ``resume``.
    """

    def __init__(  # noqa: PLR0913 - clock and sleep are for tests
        self,
        reply: engine.Reply,
        container: Container,
        limits: CollectorSettings,
        resume: ResumePoint | None,
        *,
        collectors: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.unfinished: list[str] = []
        """The keys of the lines that had begun and not ended at the end of the log."""
        self._connection = reply.connection
        self._begun = reply.begun  # the part of the body that arrived with the head
        self._container = container
        self._limits = limits
        self._clock = clock
        self._collectors = collectors
        self._deduplicator = Deduplicator(resume)
        self._pacer = ReadPacer(limits, clock, sleep)
        self._parser = parser(container.tty, limits.line_bytes)
        self._continuity: Continuity | None = Continuity(container.rotates_at)
        self._poller = select.poll()
        self._lines = self._checked = 0
        self._check = 0.0
        self._quiet = math.inf
        self._arrived = clock()
        self._interval = limits.silence_seconds
        self._held: list[Line] = []
        self._resumed: list[Line] = []
        self._resume_time = self._reached = ""
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def joined(self) -> bool:
        """True once the lines that were published before have been passed."""
        return self._deduplicator.joined

    @property
    def entries(self) -> int:
        """The number of the engine's log entries received; a long line takes several."""
        return self._lines + self._parser.joined

    @property
    def failure(self) -> str:
        """The engine's error message, or an empty string."""
        return self._parser.failure

    def follow(self, wake: int) -> None:
        """Prepare for ``read``, which returns when the descriptor ``wake`` is readable."""
        self._connection.setblocking(False)
        self._poller.register(self._connection, select.POLLIN)
        self._poller.register(wake, select.POLLIN)
        # The lines of a rotated log may be delayed less than others.
        self._pacer.longest = rotation.longest(self._container, self._limits.gather_limit_seconds)
        self._plan_check()

    @property
    def suspect(self) -> Line | None:
        """The first line that is held back, because it may not follow the last one."""
        return self._held[0] if self._held else None

    @property
    def attached(self) -> bool:
        """Return True once the stream is known to continue what was published."""
        return self._continuity is None or self._continuity.attached

    @property
    def odd(self) -> bool:
        """Return True if the time stamps do not show where the suspect line belongs."""
        order = self._continuity
        return order is not None and (order.odd or any(map(order.is_earlier, self._held)))

    @property
    def doubtful(self) -> bool:
        """Return True if lines may be missing should the log not show the opposite."""
        if not self._held or self._continuity is None:
            return True
        return self._continuity.took_a_file(self._continuity.seconds_before(self._held[0]))

    def note(self, lines: list[Line]) -> None:
        """Leave these lines out, because they were published from the log."""
        if self._continuity:
            self._continuity.note(lines)

    def expect(self, unfinished: list[str]) -> None:
        """Take the keys of lines that had begun when this stream was opened."""
        if self._continuity:
            self._continuity.expect(unfinished)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def resume(self, point: ResumePoint | None) -> None:
        """Go on after the log was read up to ``point``, which this stream has yet to reach.

        Without a point, the lines that were held back follow the last one.
        """
        self._resumed, self._held = self._held, []
        self._deduplicator = Deduplicator(point)
        self._resume_time = point.line.timestamp if point else ""
        if self._continuity:
            self._continuity.attach()
            if point is None:
                self._continuity.restart()
        self._plan_check()

    def check_soon(self) -> None:
        """Let a check be due shortly, unless a line comes first."""
        self._quiet = self._clock() + _QUIET_SECONDS

    def read(self) -> StreamEvent:
        """Return the next event.  Every line passes through here, so this is kept short."""
        if self._held or self._resumed or self._ended:
            return self._pending()
        if self._clock() >= min(self._check, self._quiet):
            return self._check_due()
        data = self._receive()
        if data is None and self._wait():
            data = self._receive()
        if data is None:
            return _IDLE
        lines = self._take(data)
        # Once a log in one file has passed what was published, nothing can be wrong.
        continuity = self._continuity
        if continuity is None:
            return Lines(lines) if lines else _IDLE
        if self._container.rotates_at is not None:
            self._note_arrival(continuity, len(data))
        return self._admit(continuity.fresh(self._behind(lines)))

    def all(self) -> Iterator[list[Line]]:
        """Yield the lines up to the end, with unterminated ones if the container has ended."""
        while not self._ended:
            if not self._begun:
                self._pacer.wait(_HISTORY_SECONDS)
            # The engine may scan a long log; the connection's own timeout is the bound.
            heartbeat.beat(self._connection.gettimeout() or 0.0)
            yield self._deduplicator.feed(self._take(self._receive() or b""))
        self.unfinished = self._parser.unfinished
        # The resume point may have been published without its end, like a prompt.
        rest = self._deduplicator.feed(self._parser.finish())
        # A running container may still finish its last line.
        yield [] if self._container.running else rest

    def _pending(self) -> StreamEvent:
        """Return the event that needs no further bytes."""
        if self._held:
            return _SUSPECT
        if self._resumed:
            lines, self._resumed = self._resumed, []
            return self._admit(self._behind(lines))
        return Ended(self.failure)

    def _receive(self) -> bytes | None:
        """Return the next bytes, b"" at the end, or None if there is nothing to read yet."""
        if self._begun:
            data, self._begun = self._begun, b""
            return data
        try:
            return self._connection.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None  # TLS may have read a part of a record that it cannot decrypt yet
        except OSError:
            return b""  # the collector asks the engine why, whatever the error was

    def _take(self, data: bytes) -> list[Line]:
        """Return the lines in ``data``."""
        if not data:
            self._ended = True
            return []
        lines = self._parser.feed(data)
        self._lines += len(lines)
        self._pacer.note(len(lines), len(data))
        # Whatever follows the engine's error message is not a log.
        self._ended = bool(self._parser.failure)
        return lines

    def _behind(self, lines: list[Line]) -> list[Line]:
        """Return the lines behind the resume point."""
        if self.joined or not lines:
            return lines
        self._reached = lines[-1].timestamp
        return self._deduplicator.feed(lines)

    def _admit(self, lines: list[Line]) -> StreamEvent:
        """Return the event for lines that this stream has not passed before."""
        continuity = self._continuity
        if not lines or continuity is None:
            return Lines(lines) if lines else _IDLE
        count = continuity.continuous(lines)
        lines, self._held = lines[:count], lines[count:]
        if not lines:
            return _SUSPECT
        if self._container.rotates_at is None and not self._held and continuity.settled:
            self._continuity = None
        return Lines(lines)

    def _note_arrival(self, continuity: Continuity, size: int) -> None:
        """Plan a check for the case that this stream of a rotated log falls silent."""
        now = self._clock()
        continuity.measure(now, size)
        self._interval += (now - self._arrived - self._interval) / 8
        self._arrived = now
        quiet = max(_QUIET_SECONDS, _QUIET_INTERVALS * self._interval)
        self._quiet = now + min(quiet, self._limits.silence_seconds)

    def _wait(self) -> bool:
        """Sleep until a read is worthwhile; return False if there is nothing to read."""
        self._pacer.rest()
        # poll(2) takes milliseconds; rounded up, so that it does not return before the check.
        due = min(self._check, self._quiet)
        wait = max(0, int((due - self._clock()) * 1000) + 1)
        # Not longer than a heartbeat, which comes from the loop that reads.
        if not self._poller.poll(min(wait, int(heartbeat.BEAT_SECONDS * 1000))):
            return False
        # The first line has come; let more of them accumulate.
        self._pacer.wait()
        return True

    def _check_due(self) -> StreamEvent:
        # A line of a rotated log puts off the second check, so it means that none came.
        quiet = self._container.rotates_at is not None and self._clock() >= self._quiet
        silent = quiet or self.entries == self._checked
        self._quiet = math.inf
        # The stream seems to have skipped the resume point.
        if not self.joined and (silent or self._reached > self._resume_time):
            return _SUSPECT
        self._checked = self.entries
        self._plan_check()
        return CheckDue(silent)

    def _plan_check(self) -> None:
        # A stream before the resume point leaves its lines out, so it is checked sooner.
        limits = self._limits
        self._check = self._clock() + (
            limits.silence_seconds if self.joined else limits.retry_seconds
        )
        # The number of collectors changes as clients come and go.
        self._pacer.collectors = self._collectors()


class ChangeEvents(Protocol):
    """The engine's events about a container; see :class:`events.ContainerEvents`."""

    descriptor: int

    def follow(self, container: str) -> bool:
        """Follow the container with this id; return True unless that was so before."""

    def happened(self) -> bool:
        """Return True if there were events since the last call."""


class LogSource(Protocol):
    """The engine as a collector sees it; see :class:`docker_logs.DockerLogs`."""

    def events(self, wake: int) -> ChangeEvents:
        """Return the events about a container; ``wake`` wakes those who wait for them, too."""

    def look(self, name: str, followed: str = "") -> Container | None:
        """Return the container of this name, or the one that it is replacing, or None."""

    def words(self, container: Container) -> str:
        """Return the engine's phrase for the state."""

    def history(
        self,
        container: Container,
        resume: ResumePoint | None,
        tail: int | None,
        *,
        near: bool = False,
    ) -> LogStream:
        """Return the log as it is now."""

    def follow(self, container: Container, *, wake: int) -> LogStream:
        """Return the log as it grows from now on."""

    def last_line(self, container: Container, resume: ResumePoint | None) -> Line | None:
        """Return the newest line of the log, or None."""
