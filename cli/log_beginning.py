"""The beginning of a log on the bus, for ``mist logs``: its status and its last lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import structs

from bus.follower import Item
from bus.stream_state import StreamState
from bus.wire import STATES, Kind, Message
from mist import messages

# The engine's states in which a container writes nothing, so that its stream is about to end.
_STILL: Final = frozenset({"created", "exited", "dead", "removing"})


class Wanted:
    """The part of a log's beginning to print, without I/O.

    Give the arriving messages to ``hold`` until the beginning is complete.  Then print the
    messages of ``beginning``, with the last ``tail`` lines.  Lines of a container that is
    not running are shown only with ``stopped``.
    """

    def __init__(self, tail: int, stopped: bool = False) -> None:
        self._lines = tail
        self._stopped = stopped
        self._held: list[Message] = []
        self._engine_state = ""
        self._stream = StreamState()

    def hold(self, items: Iterable[Item]) -> bool:
        """Take what arrived.  Return True once the beginning is complete.

        It is complete when the stream is over or the history is complete.
        """
        for message in items:
            if isinstance(message, Message):
                self._hold(message)
        if not self._held:
            return False
        # The collector of a container that is not running has yet to send the error about it.
        running = self._stream.complete and self._engine_state not in _STILL
        return running or self._held[-1].header.final

    def _hold(self, message: Message) -> None:
        self._stream.take(message.header)
        if message.body:  # READY has none
            self._held.append(message)
        if message.header.kind in STATES:
            self._engine_state = messages.read_status(message.body).state

    def beginning(self) -> list[Message]:
        """Return the status, the last lines, and the message that ended the stream, if any."""
        # The newest status is enough: the container may have changed its state in between.
        statuses = [held for held in self._held if held.header.kind in STATES]
        last = self._held[-1]
        ended = [last] if last.header.final else []
        status = [_as_news(newest) for newest in statuses[-1:]]
        return [*status, *self._tail(ended), *ended]

    def _tail(self, ended: list[Message]) -> list[Message]:
        refused = bool(ended) and ended[0].header.kind is Kind.ERROR
        if refused and not self._stopped:
            return []
        logs = [held for held in self._held if held.header.kind is Kind.LOG]
        return [*_last(logs, self._lines)][::-1]


def _as_news(status: Message) -> Message:
    """Return a status for a reader who has just come, to whom any state is news."""
    return status._replace(header=structs.replace(status.header, kind=Kind.STATUS))


def _last(logs: list[Message], missing: int) -> Iterator[Message]:
    """Yield messages with the last ``missing`` lines, the newest first."""
    for message in reversed(logs):
        if missing <= 0:
            return
        lines = message.body.split(b"\n")[-missing:]
        missing -= len(lines)
        yield message._replace(body=b"\n".join(lines))
