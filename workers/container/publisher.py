"""Publish a collector's messages to the bus, and remember the resume point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from bus.replay import Snapshot
from bus.stream_state import StreamState
from bus.wire import NO_FLAGS, STATES, Flag, Kind
from mist import close_codes, messages
from mist.settings import Settings
from workers.container import batch, resume, status
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.resume import ResumePoint
from workers.container.status import Shown

# The number of earlier containers to remember.  A deployment alternates between two.
_LEFT: Final = 8


class Bus(Protocol):
    """The part of :class:`bus.publisher.Publisher` that a collector needs."""

    descriptor: int

    def service(self) -> bool:
        """Handle the broker's coming and going; return True if the broker is there."""

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until ``service`` has something to do; return False on timeout."""

    def publish(
        self, kind: Kind, body: bytes, *, count: int = 1, flags: Flag = NO_FLAGS, code: int = 0
    ) -> None:
        """Send one message."""


class LogPublisher:
    """A publisher of lines and statuses that knows where to resume.

    While the broker is away the publisher waits, because the engine keeps the log.
    """

    def __init__(self, bus: Bus, settings: Settings) -> None:
        self.resume_point: ResumePoint | None = None
        """The position after the last published line of the current container."""
        self.final = False
        """The last message told clients that the stream is over."""
        self.opened = False
        """The history was published completely."""
        self.quiet = False
        """Only clients that come from now on were told the last state."""
        self._shown: Shown | None = None
        self._bus = bus
        self._limit = settings.bus.batch_bytes
        self._left: dict[str, ResumePoint | None] = {}
        self.descriptor = bus.descriptor
        """Readable when the broker comes or goes.

        It is edge-triggered (zmq_getsockopt(3), ZMQ_FD), so call ``await_broker`` when it
        becomes readable and before each wait.
        """

    def recall(self, snapshot: Snapshot) -> None:
        """Resume where a predecessor stopped, according to the broker's messages."""
        for message in snapshot.messages:
            if message.header.kind is Kind.LOG:
                self.resume_point = resume.after(self.resume_point, batch.lines_of(message.body))
        statuses = [one for one in snapshot.messages if one.header.kind in STATES]
        newest = statuses[-1] if statuses else snapshot.status
        if newest is not None:
            self._shown = status.decode(newest.body)
            self.quiet = newest.header.kind is Kind.STATE
        state = StreamState.of(snapshot)
        self.opened, self.final = state.complete, state.final

    def await_broker(self) -> None:
        """Return once the broker is there, which is nearly always at once."""
        while not self._bus.service():
            self._bus.wait()

    def idle(self, seconds: float) -> None:
        """Sleep, but keep answering the broker."""
        if self._bus.wait(seconds):
            self.await_broker()

    def lines(self, lines: Sequence[Line], flags: Flag = NO_FLAGS) -> None:
        """Publish lines in as few messages as the size limit allows."""
        for body in batch.encode_batches(lines, self._limit):
            self._publish(Kind.LOG, body.data, count=len(body.lines), flags=flags)
            self.resume_point = resume.after(self.resume_point, body.lines)

    def status(self, body: bytes, flags: Flag = NO_FLAGS, *, quiet: bool = False) -> None:
        """Publish the container's state; a stream that was over is open again.

        With ``quiet``, only clients that come from now on are told.
        """
        self._publish(Kind.STATE if quiet else Kind.STATUS, body, flags=flags)
        self._shown, self.quiet = status.decode(body), quiet
        self.final = False

    def outdated(self, container: Container | None) -> bool:
        """Return True if the last published status shows another state or another run."""
        if self._shown is None and container is not None:
            # Unknown, but a line since its start shows that it was published as running.
            return not self.published_since(container.started)
        return self._shown != Shown.of(container)

    def ready(self) -> None:
        """Publish that the history is complete."""
        self._publish(Kind.READY, b"")
        self.opened = True

    def end(self) -> None:
        """Publish that the log has ended."""
        self._publish(Kind.END, messages.end(), code=close_codes.NORMAL)
        self.final = True

    def error(self, text: str, code: int) -> None:
        """Publish why there is no stream, unless clients were told already."""
        if not self.final:
            self._publish(Kind.ERROR, messages.error(text), code=code)
            self.final = True

    def change_container(self, left: str, entered: str) -> None:
        """Resume in the log of container ``entered`` instead of ``left`` (both are ids).

        A new container has a log of its own.  A failed deployment brings the old container
        back; of its log, only the lines after its last published line are new.
        """
        self._left[left] = self.resume_point
        self.resume_point = self._left.pop(entered, None)
        while len(self._left) > _LEFT:
            del self._left[next(iter(self._left))]

    def forget_lines_before(self, created: str) -> None:
        """Forget the resume point if it belongs to an earlier container."""
        if self.resume_point and created > self.resume_point.line.timestamp:
            self.resume_point = None

    def published_since(self, timestamp: str) -> bool:
        """Return True if a line with this time stamp or a later one was published."""
        return self.resume_point is not None and self.resume_point.line.timestamp >= timestamp

    def _publish(
        self, kind: Kind, body: bytes, *, count: int = 1, flags: Flag = NO_FLAGS, code: int = 0
    ) -> None:
        self.await_broker()
        self._bus.publish(kind, body, count=count, flags=flags, code=code)
