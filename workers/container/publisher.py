"""Publish a collector's messages to the bus, and remember the resume point.

Before a message is sent, the claim (``claim_file.py``) says so.  A collector that dies in
between has claimed lines that no subscriber got.  Its successor sends them with the same
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from bus.replay import START, Position, Snapshot
from bus.stream_state import StreamState
from bus.wire import NO_FLAGS, STATES, Flag, Kind
from mist import close_codes, messages
from mist.messages import SkipReason
from mist.settings import Settings
from workers.container import batch, resume, status
from workers.container.claim_file import ClaimFile
from workers.container.claims import numbered
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.resume import ResumePoint
from workers.container.status import Shown

# The number of earlier containers to remember.  A deployment alternates between two.
_LEFT: Final = 8


class Bus(Protocol):
    """The part of :class:`bus.publisher.Publisher` that a collector needs."""

    descriptor: int

    @property
    def next(self) -> int:
        """The number of the next message."""

    def claim(self, *, resume: bool, after: Position = START) -> Snapshot:
        """Claim the topic; continue ``after`` a position, or begin a new epoch."""

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

    def __init__(self, bus: Bus, settings: Settings, claims: ClaimFile | None = None) -> None:
        self.resume_point: ResumePoint | None = None
        """The position after the last published line of the current container."""
        self.final = False
        """The last message told clients that the stream is over."""
        self.opened = False
        """The history was published completely."""
        self.awaited = True
        """Subscribers may wait for what the log holds after the claim."""
        self.unjoined = False
        """They may lack lines, which a longer history may contain."""
        self.claims = claims or ClaimFile()
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

    def take_over(self, *, resume: bool) -> None:
        """Claim the topic.  With ``resume``, a predecessor crashed and the broker may know it."""
        after = self.claims.claim.position if self.claims.inherited else START
        # A collector that was stopped, and whose broker goes on, had no subscribers any more.
        self.awaited = resume or not self.claims.same_broker
        if resume:
            snapshot = self._bus.claim(resume=True, after=after)
            # A predecessor that died in the middle of a history may have sent only a part of
            # the numbers that subscribers know.  Its claim shows if it did.
            whole = after.epoch == snapshot.epoch and after.seq <= snapshot.seq
            whole = whole or StreamState.of(snapshot).complete
            if snapshot.seq and whole and snapshot.tells_where_to_resume:
                self.recall(snapshot)
                return
        # The broker forgets what it knows, because the claim may lie before that.
        snapshot = self._bus.claim(resume=False, after=after)
        if not self.claims.inherited:
            self.unjoined = resume or (self.claims.damaged and self.awaited)
            self.claims.begin(snapshot.epoch)

    def recall(self, snapshot: Snapshot) -> None:
        """Resume where a predecessor stopped, according to the broker's messages."""
        headers = [message.header for message in snapshot.messages]
        others = tuple(header.seq for header in headers if header.kind is not Kind.LOG)
        first = headers[0].seq if headers else snapshot.seq + 1
        # Lines before that number are those of another container.
        first = self.claims.adopt(Position(snapshot.epoch, snapshot.seq), first, others)
        for message in snapshot.messages:
            if message.header.kind is Kind.LOG and message.header.seq >= first:
                self.resume_point = resume.after(self.resume_point, batch.lines_of(message.body))
        self.claims.resume(self.resume_point)
        statuses = [one for one in snapshot.messages if one.header.kind in STATES]
        newest = statuses[-1] if statuses else snapshot.status
        if newest is not None:
            self._shown = status.decode(newest.body)
            self.quiet = newest.header.kind is Kind.STATE
        state = StreamState.of(snapshot)
        self.opened, self.final = state.complete, state.final

    def begin(self) -> None:
        """Begin a new epoch, because the log cannot be joined to the claim."""
        self.unjoined = self.awaited
        self.await_broker()
        self.claims.begin(self._bus.claim(resume=False).epoch)

    def republish(self, known: Sequence[Line], point: ResumePoint | None) -> None:
        """Publish lines that a predecessor published, with the numbers that they had.

        ``known`` are the last lines up to ``point``, the last published one.
        """
        claim = self.claims.claim
        self.claims.inherited = False
        first, runs = numbered(claim, len(known))
        self.await_broker()
        self._bus.claim(resume=False, after=Position(claim.epoch, first - 1))
        start = len(known) - sum(runs)
        for index, run in enumerate(runs):
            if index:
                # In place of a status of that time, so that no number is missing.
                self._publish(Kind.READY, b"", flags=Flag.HISTORY)
            self.lines(known[start : start + run], Flag.HISTORY)
            start += run
        assert self._bus.next == claim.seq + 1
        self.resume_point = point

    def await_broker(self) -> None:
        """Return once the broker is there, which is nearly always at once."""
        while not self._bus.service():
            self._bus.wait()

    def idle(self, seconds: float) -> None:
        """Sleep, but keep answering the broker."""
        self.claims.touch()
        if self._bus.wait(seconds):
            self.await_broker()

    def lines(self, lines: Sequence[Line], flags: Flag = NO_FLAGS) -> None:
        """Publish lines in as few messages as the size limit allows."""
        for body in batch.encode_batches(lines, self._limit):
            count = len(body.lines)
            self.await_broker()
            # The point moves first: a publisher that fails ends the process.
            self.resume_point = point = resume.after(self.resume_point, body.lines)
            self.claims.lines(self._bus.next + count - 1, point)
            self._bus.publish(Kind.LOG, body.data, count=count, flags=flags)

    def status(self, body: bytes, flags: Flag = NO_FLAGS, *, quiet: bool = False) -> None:
        """Publish the container's state; a stream that was over is open again.

        With ``quiet``, only clients that come from now on are told.
        """
        self._publish(Kind.STATE if quiet else Kind.STATUS, body, flags=flags)
        self._shown, self.quiet = status.decode(body), quiet
        self.final = False

    def skipped(self, lines: int, reason: SkipReason, flags: Flag = NO_FLAGS) -> None:
        """Publish that lines are missing here; ``lines`` may be ``messages.UNKNOWN``."""
        self._publish(Kind.SKIPPED, messages.skipped(lines, reason), flags=flags)

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
        self.claims.enter(entered, self.resume_point)
        while len(self._left) > _LEFT:
            del self._left[next(iter(self._left))]

    def forget_lines_before(self, created: str) -> None:
        """Forget the resume point if it belongs to an earlier container."""
        if self.resume_point and created > self.resume_point.line.timestamp:
            self.resume_point = None

    def published_since(self, timestamp: str) -> bool:
        """Return True if a line with this time stamp or a later one was published."""
        return self.resume_point is not None and self.resume_point.line.timestamp >= timestamp

    def _publish(self, kind: Kind, body: bytes, *, flags: Flag = NO_FLAGS, code: int = 0) -> None:
        """Publish a message that is not lines."""
        self.await_broker()
        self.claims.other(self._bus.next)
        self._bus.publish(kind, body, flags=flags, code=code)
