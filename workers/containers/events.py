"""The engine's events about containers (Docker Engine API, "Monitor events")."""

from __future__ import annotations

import ssl
from http import HTTPStatus
from typing import Any, Final

import msgspec

from mist.errors import EngineUnreachable
from mist.settings import Settings
from workers import engine

# Without ``exec_*``, which every health check of every container causes.
_FILTERS: Final = msgspec.json.encode(
    {
        "type": ["container"],
        "event": [
            *("create", "start", "restart", "die", "destroy", "rename", "update"),
            *("pause", "unpause", "health_status"),
        ],
    }
).decode()
_RECEIVE_BYTES: Final = 65_536
_END_OF_HEAD: Final = b"\r\n\r\n"


class EventStream:
    """The containers to which something happens; raise EngineError if the engine refuses."""

    def __init__(self, settings: Settings) -> None:
        self._host = engine.host(settings)
        reply = engine.follow(settings, "/events", filters=_FILTERS)
        self._connection, self._rest = reply.connection, reply.begun
        self.begun = reply.answered
        """True once the engine has answered; until then there may be no events."""
        self._connection.setblocking(False)
        self.descriptor = self._connection.fileno()

    def take(self) -> set[str]:
        """Return the ids in the events that have arrived.

        Raise EngineUnreachable at their end, and EngineRefused if the engine refuses only now.
        """
        ended = False
        try:
            while data := self._connection.recv(_RECEIVE_BYTES):
                self._rest += data
            ended = True
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            raise EngineUnreachable(self._host, engine.reason(error)) from None
        if not self.begun and _END_OF_HEAD in self._rest:
            status, self._rest = engine.read_head(bytes, self._rest)
            if status != HTTPStatus.OK:
                raise engine.EngineRefused(status, self._rest)
            self.begun = True
        if ended:
            raise EngineUnreachable(self._host, "the stream of events ended")
        if not self.begun:
            return set()
        *lines, self._rest = self._rest.split(b"\n")
        return {each for line in lines if (each := _container(line))}

    def close(self) -> None:
        """Close the stream."""
        self._connection.close()


def _container(line: bytes) -> str:
    """Return the id of the container that an event is about; empty if it names none."""
    try:
        event: Any = msgspec.json.decode(line)
        return str(event["Actor"]["ID"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""
