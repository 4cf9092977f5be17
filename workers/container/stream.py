"""The stream of a container's log as events, paced and without duplicates."""

from __future__ import annotations

import select
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol, Self

import msgspec

from mist.settings import CollectorSettings
from workers import engine
from workers.container import rotation
from workers.container.container import Container
from workers.container.frames import Line, parser
from workers.container.pacing import ReadPacer
from workers.container.resume import Deduplicator, ResumePoint

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
    """Lines may be missing before the next ones; read them from the log."""


class Ended(msgspec.Struct, frozen=True):
    """The stream ended; ``failure`` is the engine's error message, if it sent one."""

    failure: str = ""


StreamEvent = Lines | Idle | CheckDue | Suspect | Ended

_IDLE: Final = Idle()
_SUSPECT: Final = Suspect()


class LogStream:
    """The engine's answer to one request for a log.

    ``read`` returns the events of a log that is followed; ``all`` yields the lines of a
    log that is read to its end.  Both leave out the lines up to the resume point.
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
        self._connection = reply.connection
        self._begun = reply.begun  # the part of the body that arrived with the head
        self._container = container
        self._limits = limits
        self._clock = clock
        self._collectors = collectors
        self._deduplicator = Deduplicator(resume)
        self._pacer = ReadPacer(limits, clock, sleep)
        self._parser = parser(container.tty, limits.line_bytes)
        self._poller = select.poll()
        self._lines = self._checked = 0
        self._check = 0.0
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

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
        self._pacer.longest = rotation.longest(self._container, self._limits)
        self._plan_check()

    def read(self) -> StreamEvent:
        """Return the next event.  Every line passes through here, so this is kept short."""
        if self._ended:
            return Ended(self.failure)
        if self._clock() >= self._check:
            return self._check_due()
        data = self._receive()
        if data is None and self._wait():
            data = self._receive()
        if data is None:
            return _IDLE
        lines = self._take(data)
        container = self._container
        if self._deduplicator.lost or (
            lines
            and container.rotates_at is not None
            and not rotation.complete(container, lines[0])
        ):
            return _SUSPECT
        return Lines(lines) if lines else _IDLE

    def all(self, *, whole: bool) -> Iterator[list[Line]]:
        """Yield the lines up to the end, with unterminated ones if the container has ended.

        ``whole`` means that the engine was asked for its whole log.  If the resume point is
        not in there, it was rotated away, and the lines that are newer than it are new.
        """
        while not self._ended:
            if not self._begun:
                self._pacer.wait(_HISTORY_SECONDS)
            yield self._take(self._receive() or b"")
            if whole and self._deduplicator.lost and not self.joined:
                yield self._deduplicator.release()
        # A running container may still finish its last line.
        if not self._container.running:
            yield self._deduplicator.feed(self._parser.finish())
        if whole and not self.joined:
            yield self._deduplicator.release()

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
        """Return the new lines in ``data``."""
        if not data:
            self._ended = True
            return []
        lines = self._parser.feed(data)
        self._lines += len(lines)
        self._pacer.note(len(lines), len(data))
        # Whatever follows the engine's error message is not a log.
        self._ended = bool(self._parser.failure)
        return lines if self._deduplicator.joined else self._deduplicator.feed(lines)

    def _wait(self) -> bool:
        """Sleep until a read is worthwhile; return False if there is nothing to read."""
        self._pacer.rest()
        # poll(2) takes milliseconds; rounded up, so that it does not return before the check.
        wait = max(0, int((self._check - self._clock()) * 1000) + 1)
        if not self._poller.poll(wait):
            return False
        # The first line has come; let more of them accumulate.
        self._pacer.wait()
        return True

    def _check_due(self) -> StreamEvent:
        silent = self.entries == self._checked
        # Without traffic the resume point will not come.
        if silent and not self.joined:
            return _SUSPECT
        self._checked = self.entries
        self._plan_check()
        return CheckDue(silent)

    def _plan_check(self) -> None:
        # A stream before the resume point holds its lines back, so it is checked sooner.
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

    def look(self, name: str) -> Container | None:
        """Return the container of this name, or None."""

    def words(self, container: Container) -> str:
        """Return the engine's phrase for the state."""

    def history(
        self, container: Container, resume: ResumePoint | None, tail: int | None
    ) -> LogStream:
        """Return the log as it is now."""

    def follow(
        self, container: Container, resume: ResumePoint | None, *, deep: bool, wake: int
    ) -> LogStream:
        """Return the log as it grows."""

    def last_line(self, container: Container) -> Line | None:
        """Return the newest line of the log, or None."""
