"""The log of a container."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from mist_client import wire
from mist_client.events import ContainerStatus, End, LogEvent, LogLine, Reconnected, Skipped
from mist_client.resume import Resume, ResumePoint
from mist_client.source import Query, Refused, Source

# How long to wait for lines after the service's first message until none is expected.
_SETTLE_SECONDS: Final = 1.0
# A time before every line: the service answers with everything that it remembers.
_BEGINNING: Final = "0001-01-01T00:00:00Z"


class ContainerLog(Source[LogEvent]):
    """Each line once and in the engine's order, over as many connections as it takes."""

    path = "/ws/container/logs"

    def __init__(self, target: Query, *, tail: int | None, since: str | None, stopped: bool):
        self._target = target
        self._tail = tail
        self._since = since
        self._stopped = stopped
        self._point = ResumePoint()
        self._resumes = False
        self._resume: Resume | None = None
        self._downtime: float | None = None
        self._empty = False
        """True if the log is known to have had no line of those that were asked for."""
        self._begun: str | None = None
        """The time of the first status."""
        self._status_time = ""

    def query(self) -> Query:
        """Ask for what follows the last line, or what was asked for at first."""
        since = self._resume_at()
        self._resumes = since is not None
        begin = {"since": since} if since else {"tail": self._tail, "since": self._since}
        # The container may have written its last lines and stopped while there was no connection.
        stopped = self._stopped or self._begun is not None
        return {**self._target, **begin, "stopped": 1 if stopped else None, "pos": 1}

    def joined(self, downtime: float | None) -> None:
        """Begin to drop what is known, if the connection resumes another one."""
        self._downtime = downtime
        begins = downtime is None and not self._resumes
        self._resume = None if begins else self._point.resume()
        self.due = self.clock() + _SETTLE_SECONDS

    def lost(self) -> None:
        """Drop lines that waited for the last known line; they are requested again."""
        self._resume = self.due = None

    def settle(self) -> Iterator[LogEvent]:
        """Deliver the lines that wait for the last known line, which did not come."""
        self.due = None
        yield from self._finish()
        self._empty = self._point.since is None

    def receive(self, data: bytes) -> Iterable[LogEvent]:
        """Return the events of a message."""
        try:
            message = wire.LOG.decode(data)
        except msgspec.MsgspecError:
            return ()
        if isinstance(message, wire.Log):
            return self._take(line_of(message))
        if isinstance(message, wire.Container):
            self._status_time = message.timestamp
            self._begun = self._begun or message.timestamp
            return (status_of(message),)
        if isinstance(message, wire.Skip):
            return self._skip(message)
        if isinstance(message, wire.Error):
            return self._refuse(message)
        return self._end(message)

    def _resume_at(self) -> str | None:
        if self._point.since is not None:
            return self._point.since
        if self._since is not None:
            return None
        if self._tail == 0:
            return self._begun
        return _BEGINNING if self._empty else None

    def _take(self, line: LogLine) -> Iterable[LogEvent]:
        if self._resume is None:  # nearly always
            self._point.push(line)
            return (line,)
        return self._resumed(self._resume, self._resume.feed(line))

    def _finish(self) -> Iterator[LogEvent]:
        if self._resume is not None:
            yield from self._resumed(self._resume, self._resume.finish())

    def _resumed(self, resume: Resume, lines: Iterable[LogLine]) -> Iterator[LogEvent]:
        if resume.gap is not None:
            self._resume = None
            if self._downtime is not None:
                yield Reconnected(*resume.gap, self._downtime)
            if resume.gap.missing:
                yield self._forgotten(*resume.gap)
        for line in lines:
            self._point.push(line)
            yield line

    def _refuse(self, message: wire.Error) -> Iterator[LogEvent]:
        yield from self._finish()
        raise Refused(message.data.message)

    def _end(self, message: wire.Ended) -> Iterator[LogEvent]:
        yield from self._finish()
        self.complete = True
        yield End(message.timestamp, message.data.message)

    def _skip(self, message: wire.Skip) -> Iterator[LogEvent]:
        lines, exact = max(1, message.data.lines), message.data.lines > 0
        if self._resume is not None and self._resume.skip(message.data.lines):
            return
        yield from self._finish()
        if self._point.since is None:  # the time that was asked for is too long ago
            yield self._forgotten(lines, exact)
            return
        told = message.data
        yield Skipped(message.timestamp, lines, exact, told.reason, told.message)

    def _forgotten(self, lines: int, exact: bool) -> Skipped:
        least = "" if exact else "At least "
        are = "line is" if lines == 1 else "lines are"
        text = f"{least}{lines} {are} missing: the service does not remember them any more"
        return Skipped(self._status_time, lines, exact, "forgotten", text)


def line_of(message: wire.Log) -> LogLine:
    """Return the line of a ``log`` message."""
    data = message.data
    return LogLine(message.timestamp, data.stream, data.line, data.pos)


def status_of(message: wire.Container) -> ContainerStatus:
    """Return the state in a container's ``status`` message."""
    data = message.data
    return ContainerStatus(
        message.timestamp, data.container, data.state, data.status, data.deployment_id
    )
