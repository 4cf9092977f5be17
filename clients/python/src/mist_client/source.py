"""The request parameters and events of one kind of stream, without I/O."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

E = TypeVar("E")

Query = Mapping[str, str | int | None]


class Refused(Exception):
    """The reason why the stream is about to be closed, from the service's ``error`` message."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Source(ABC, Generic[E]):
    """A stream's memory of what it has delivered."""

    clock: Callable[[], float] = staticmethod(time.monotonic)

    path: str
    """The route, such as ``/ws/metrics``."""
    complete = False
    """True once the service has sent everything."""
    due: float | None = None
    """The time of the clock at which :meth:`settle` has to be called."""

    @abstractmethod
    def query(self) -> Query:
        """Return the parameters of the next connection, which goes on where the last one ended."""

    def joined(self, downtime: float | None) -> None:
        """Note that a connection brings its first message.

        ``downtime`` is how long there was no connection, and None for the first one.
        """

    @abstractmethod
    def receive(self, data: bytes) -> Iterable[E]:
        """Return the events of a message; raise Refused for an error.

        Unknown messages, which a later version of the service may send, have none.
        """

    def settle(self) -> Iterable[E]:
        """Return the events that have waited for messages which did not come."""
        return ()

    def lost(self) -> None:
        """Forget what depends on the rest of a connection that is lost."""
