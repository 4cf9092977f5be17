"""Where a stream stands, by the messages that it carried; without I/O."""

from __future__ import annotations

from typing import Self

from bus.replay import Snapshot
from bus.wire import Header, Kind


class StreamState:
    """The one rule for "the history is complete" and for "the stream is over".

    READY says that the history is complete.  Where READY itself is no longer
    remembered, any later message that is not part of the history says it as well.
    Only an ``error`` does not: it may come instead of the history, or before its
    end.  Another epoch begins with another history.
    """

    def __init__(self) -> None:
        self.complete = False
        """The history is complete."""
        self.final = False
        """The stream is over, until its next message."""
        self._epoch = 0

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        """Return the state at the end of a snapshot."""
        state = cls()
        for message in snapshot.messages:
            state.take(message.header)
        return state

    def take(self, header: Header) -> None:
        """Take the next message of the stream."""
        if header.epoch != self._epoch:
            self._epoch, self.complete = header.epoch, False
        if header.kind is not Kind.READY:
            self.final = header.final
        if header.kind is not Kind.ERROR and not header.history:
            self.complete = True
