"""The stream of a container's log, as events: without lines published before, and paced."""

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

#: One read of the stream; larger ones are no faster, and the allocator keeps them.
RECEIVE_BYTES: Final = 65_536

#: How long the lines of a log may gather that is read to its end: its reader waits for all.
_HISTORY_SECONDS: Final = 0.0003


class Lines(msgspec.Struct, frozen=True):
    """New lines."""

    lines: list[Line]


class Idle(msgspec.Struct, frozen=True):
    """Nothing came, or nothing that is new; the next read waits."""


class CheckDue(msgspec.Struct, frozen=True):
    """It is time to ask the engine if this is still the stream to follow.

    ``silent``: nothing came since the last check.
    """

    silent: bool


class Suspect(msgspec.Struct, frozen=True):
    """Lines may be missing before what the stream gives next; read them from the log."""


class Ended(msgspec.Struct, frozen=True):
    """The stream is over; ``failure`` is what the engine said instead of a line."""

    failure: str = ""


StreamEvent = Lines | Idle | CheckDue | Suspect | Ended

_IDLE: Final = Idle()
_SUSPECT: Final = Suspect()


class LogStream:
    """One answer of the engine to a request for a log.

    ``read`` gives the events of a log that is followed, ``all`` the lines of one
    that is read to its end.  Lines up to the resume point are left out.
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
        self._begun = reply.begun
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
        """Return True once the lines that were published before have been passed."""
        return self._deduplicator.joined

    @property
    def entries(self) -> int:
        """How many entries of the engine's log came; a long line takes several."""
        return self._lines + self._parser.joined

    @property
    def failure(self) -> str:
        """What the engine said instead of a line."""
        return self._parser.failure

    def follow(self, wake: int) -> None:
        """Prepare ``read``, which does not block while the descriptor ``wake`` is readable."""
        self._connection.setblocking(False)
        self._poller.register(self._connection, select.POLLIN)
        self._poller.register(wake, select.POLLIN)
        self._pacer.longest = rotation.longest(self._container, self._limits)
        self._plan_check()

    def read(self) -> StreamEvent:
        """Return what happens next; this is the hot path, and kept short for that reason."""
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
        """Yield everything up to the end, and lines without an end if the container has ended.

        ``whole``: the engine was asked for all that it has.  If the resume point is
        not in there it was rotated away, and what is younger than it is new.
        """
        while not self._ended:
            if not self._begun:
                self._pacer.wait(_HISTORY_SECONDS)
            yield self._take(self._receive() or b"")
            if whole and self._deduplicator.lost and not self.joined:
                yield self._deduplicator.release()
        if not self._container.running:
            yield self._deduplicator.feed(self._parser.finish())
        if whole and not self.joined:
            yield self._deduplicator.release()

    def _receive(self) -> bytes | None:
        """Return the next bytes, none at the end, or None if nothing is there to be read."""
        if self._begun:
            data, self._begun = self._begun, b""
            return data
        try:
            return self._connection.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError:
            return b""

    def _take(self, data: bytes) -> list[Line]:
        """Return the new lines in what was received."""
        if not data:
            self._ended = True
            return []
        lines = self._parser.feed(data)
        self._lines += len(lines)
        self._pacer.note(len(lines), len(data))
        # What follows the engine's complaint cannot be trusted.
        self._ended = bool(self._parser.failure)
        return lines if self._deduplicator.joined else self._deduplicator.feed(lines)

    def _wait(self) -> bool:
        """Sleep until a read is worthwhile; return False if there is nothing to read."""
        self._pacer.rest()
        wait = max(0, int((self._check - self._clock()) * 1000) + 1)
        if not self._poller.poll(wait):
            return False
        self._pacer.wait()
        return True

    def _check_due(self) -> StreamEvent:
        silent = self.entries == self._checked
        if silent and not self.joined:
            return _SUSPECT
        self._checked = self.entries
        self._plan_check()
        return CheckDue(silent)

    def _plan_check(self) -> None:
        """A stream that does not come to the resume point must not hold its lines for long."""
        limits = self._limits
        self._check = self._clock() + (
            limits.silence_seconds if self.joined else limits.retry_seconds
        )
        self._pacer.sharers = self._collectors()


class LogSource(Protocol):
    """The engine, as far as a collector needs it; see :class:`docker_logs.DockerLogs`."""

    def look(self, name: str) -> Container | None:
        """Return the container of this name."""

    def words(self, container: Container) -> str:
        """Return the engine's phrase for the state."""

    def history(
        self, container: Container, resume: ResumePoint | None, tail: int | None
    ) -> LogStream:
        """Return what the log holds now."""

    def follow(
        self, container: Container, resume: ResumePoint | None, *, deep: bool, wake: int
    ) -> LogStream:
        """Return the log as it grows."""

    def last_line(self, container: Container) -> Line | None:
        """Return the newest line of the log."""
