"""The engine's events that tell of a new state or health of a container.

Docker Engine API: "Monitor events".  A collector has to read nothing in them, because
the engine sends only those about its container; it looks at the container instead.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from mist.errors import EngineError
from mist.settings import Settings
from workers import engine

log = structlog.get_logger(__name__)

_EVENTS: Final = ("pause", "unpause", "health_status")
_RECEIVE_BYTES: Final = 65_536
# The pause after a refusal that came late, because each request waits for a moment, too.
_PAUSE_SECONDS: Final = 5.0


class ContainerEvents:
    """The events about one container at a time.

    ``descriptor`` is readable when ``wake`` is, or when there is an event.
    """

    def __init__(self, settings: Settings, wake: int) -> None:
        self._settings = settings
        self._poll = select.epoll()
        self._poll.register(wake, select.EPOLLIN)
        self.descriptor = self._poll.fileno()
        self._connection: socket.socket | None = None
        self._container = ""
        self._answered = False
        self._due = float("-inf")

    def follow(self, container: str) -> bool:
        """Follow the container with this id; return True unless that was so before.

        What happened until now is not among the events.  If the engine refuses them, ask
        again later.
        """
        if self._connection is not None and self._container == container:
            return False
        if time.monotonic() < self._due:
            return False
        self._leave()
        filters = msgspec.json.encode({"container": [container], "event": _EVENTS}).decode()
        try:
            # It does not matter what arrives later, an event or the beginning of the answer.
            reply = engine.follow(self._settings, "/events", filters=filters)
        except EngineError as error:
            # A socket proxy may forbid it.  The checks of the log's stream find changes, too.
            log.debug("engine_events_unavailable", reason=str(error))
            return False
        self._connection, self._container = reply.connection, container
        self._answered = reply.answered
        self._connection.setblocking(False)
        self._poll.register(self._connection, select.EPOLLIN)
        return True

    def happened(self) -> bool:
        """Return True if there were events since the last call, or if they broke off."""
        if self._connection is None:
            return False
        try:
            data = self._connection.recv(_RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            data = b""
        refused = bool(data) and not self._answered and not engine.is_success(data)
        self._answered = True
        if refused:
            self._due = time.monotonic() + _PAUSE_SECONDS
        if refused or not data:
            self._leave()
        return True

    def _leave(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._poll.unregister(self._connection)
            self._connection.close()
            self._connection = None
