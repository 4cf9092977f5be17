"""A collector's messages on their way to the bus, and what was published last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mist import messages
from mist.bus import Publisher, Snapshot
from mist.messages import ContainerStatus
from mist.settings import Settings
from mist.wire import NO_FLAGS, Flag, Kind
from workers.container import batch, splice
from workers.container.frames import Line
from workers.container.splice import Anchor

#: WebSocket close codes (``contract.md``, "Handshake").
NORMAL: Final = 1000
TRY_AGAIN_LATER: Final = 1013
NOT_FOUND: Final = 4404
NOT_RUNNING: Final = 4409


def tells_where_to_resume(snapshot: Snapshot) -> bool:
    """Return True if a successor can tell from the broker's memory which lines were published.

    A memory that was cut off and holds no line, but only states, does not tell it. Going
    on in its epoch would publish lines again that subscribers take for new ones.
    """
    headers = [message.header for message in snapshot.messages]
    if not headers or headers[0].seq == 1:
        return True
    return any(header.kind is Kind.LOG for header in headers)


class Outlet:
    """Publishes lines and states; waits while the broker is away, for the engine keeps the log."""

    def __init__(self, publisher: Publisher, settings: Settings) -> None:
        self.anchor: Anchor | None = None
        self.final = False
        self.opened = False
        self._publisher = publisher
        self._limit = settings.bus.batch_bytes
        #: Readable when the broker comes or goes; call ``await_broker`` then, and before
        #: waiting, for it tells of a change, not of a state (``zmq_getsockopt(3)``, ZMQ_FD).
        self.descriptor = publisher.socket.fileno()

    def recall(self, snapshot: Snapshot) -> None:
        """Go on where a predecessor stopped, as the broker remembers it."""
        for message in snapshot.messages:
            header = message.header
            if header.kind is Kind.LOG:
                self.anchor = splice.after(self.anchor, batch.lines_of(message.body))
            live = header.kind is Kind.LOG and not header.history
            # The mark itself may have left the buffer, pushed out by what is live.
            self.opened = self.opened or live or header.kind is Kind.READY
            if header.kind is not Kind.READY:
                self.final = header.final

    def await_broker(self) -> None:
        """Return once the broker is there, which is at once in all but rare moments."""
        while not self._publisher.service():
            self._publisher.socket.poll()

    def idle(self, seconds: float) -> None:
        """Let time pass, but keep answering the broker."""
        if self._publisher.socket.poll(int(seconds * 1000)):
            self.await_broker()

    def lines(
        self, lines: Sequence[Line], flags: Flag = NO_FLAGS, *, awaited: bool = False
    ) -> None:
        """Publish lines, in as few messages as the limit of a message allows.

        ``awaited``: the broker was there a moment ago, so it is not asked for at first.
        """
        for body in batch.bodies(lines, self._limit):
            if not awaited:
                self.await_broker()
            awaited = False
            self._publisher.publish(Kind.LOG, body.data, count=len(body.lines), flags=flags)
            self.anchor = splice.after(self.anchor, body.lines)

    def status(self, container: str, state: str, words: str, flags: Flag = NO_FLAGS) -> None:
        """Publish what the container is doing; the stream goes on with it."""
        body = messages.status(ContainerStatus(container, state, words))
        self._publish(Kind.STATUS, body, flags=flags)
        self.final = False

    def ready(self) -> None:
        """Publish that the history is complete."""
        self._publish(Kind.READY, b"")
        self.opened = True

    def end(self) -> None:
        """Publish that the log has ended."""
        self._publish(Kind.END, messages.end(), code=NORMAL)
        self.final = True

    def error(self, text: str, code: int) -> None:
        """Publish why there is no stream."""
        self._publish(Kind.ERROR, messages.error(text), code=code)
        self.final = True

    def _publish(self, kind: Kind, body: bytes, *, flags: Flag = NO_FLAGS, code: int = 0) -> None:
        self.await_broker()
        self._publisher.publish(kind, body, flags=flags, code=code)
