"""The state of a stream, derived from its messages, without I/O."""

from __future__ import annotations

from typing import Self

from bus.replay import Snapshot
from bus.wire import Header, Kind


class StreamState:
    """The single rule for "the history is complete" and "the stream is over"."""

    def __init__(self) -> None:
        self.complete = False
        """The history is complete."""
        self.final = False
        """The stream is over, unless another message follows."""
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
        if header.apart:
            return  # older than what follows, so it shows neither a beginning nor an end
        if header.epoch != self._epoch:
            self._epoch, self.complete = header.epoch, False  # each epoch has its own history
        if header.kind is not Kind.READY:
            self.final = header.code != 0 and header.final
        # READY marks the history as complete.  The broker may have forgotten READY, but then
        # any later message outside the history shows the same.  An error does not, because it
        # may come instead of the history or in the middle of it.
        if not self.complete and header.kind is not Kind.ERROR and not header.history:
            self.complete = True
