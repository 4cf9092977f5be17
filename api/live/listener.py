"""What the hub brings the messages of a topic to."""

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
        """How many clients still want the topic."""

    @property
    def position(self) -> Position | None:
        """What a replay is to begin after; None where no replay is wanted."""
        return None

    @property
    def missing(self) -> bool:
        """Whether a replay is needed before anything can go on."""
        return False

    @abstractmethod
    def remove(self, connection: Connection) -> None:
        """Let a client go."""

    @abstractmethod
    def feed(self, message: Message) -> None:
        """Take a live message."""

    def fill(  # noqa: B027 - not every topic has replays
        self, snapshot: Snapshot, *, settled: bool
    ) -> None:
        """Take a replay; see ``bus.reorder.ReorderBuffer.fill`` for ``settled``."""

    @abstractmethod
    def flush(self) -> None:
        """Send every client what it has not got yet, as far as its socket takes it."""

    def reconcile(self) -> None:  # noqa: B027 - what a replay finds needs nothing more
        """Look, every ``streams.reconcile_seconds``, whether something was missed."""
