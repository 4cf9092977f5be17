"""The interface to which the hub delivers the messages of a topic."""

from __future__ import annotations

from abc import ABC, abstractmethod

from api.websocket.connection import Connection
from bus.replay import Position, Snapshot
from bus.wire import Message


class Listener(ABC):
    """The clients of one topic in this worker.  Nothing here blocks or switches greenlets."""

    @property
    @abstractmethod
    def clients(self) -> int:
        """The number of clients; the hub unsubscribes when there are none."""

    @property
    def position(self) -> Position | None:
        """The position after which a replay has to begin; None if no replay is needed."""
        return None

    @property
    def missing(self) -> bool:
        """Return True if messages are missing, so that a replay is needed."""
        return False

    @abstractmethod
    def remove(self, connection: Connection) -> None:
        """Remove a client."""

    @abstractmethod
    def feed(self, message: Message) -> None:
        """Take a live message."""

    def fill(  # noqa: B027 - not every topic has replays
        self, snapshot: Snapshot, *, settled: bool
    ) -> None:
        """Take a replay; see ``bus.reorder.ReorderBuffer.fill`` for ``settled``."""

    @abstractmethod
    def flush(self) -> None:
        """Send every client its pending messages, as far as its socket takes them."""

    def reconcile(self) -> None:  # noqa: B027 - replays are enough for most topics
        """Check for missed messages; called every ``streams.reconcile_seconds``."""
