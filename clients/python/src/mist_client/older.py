"""Older lines of a log: the records of a long answer, without I/O."""

from __future__ import annotations

from typing import Final

import msgspec

from mist_client import routes, wire
from mist_client.errors import BROKEN_OFF, Unreachable
from mist_client.events import LogLine
from mist_client.logs import line_of
from mist_client.records import OlderRange
from mist_client.routes import Route

# How long to wait for data.  A search may find nothing for long, but the service ends each request
# after an hour by default (``reader.seconds``), so after a longer silence it is gone.
READ_SECONDS: Final = 3_660.0


class OlderEnd(msgspec.Struct, frozen=True):
    """The extent of a read."""

    lines: int
    """The lines of the range that were read."""
    matched: int
    """The lines that were sent."""
    complete: bool
    """False if ``limit`` left out the rest of the range, or if the log could not be read."""
    reached: str | None
    """The time of the last line that was read."""
    message: str
    """Why the log could not be read to its end, or ""."""


class OlderRequest:
    """Which log to read, and which lines of it."""

    def __init__(self, app_id: int | None, container: str | None, chosen: OlderRange) -> None:
        if (app_id is None) == (container is None):
            raise TypeError("give either app_id or container")
        route: Route[object] = routes.APP_LOG if container is None else routes.CONTAINER_LOG
        self.path = route.fill({"app_id": app_id or 0, "name": container or ""})
        self.query = {
            name: "1" if value is True else str(value)
            for name, value in chosen.items()
            if value is not None and value is not False
        }


class OlderRecords:
    """The lines in an answer, and its last record."""

    def __init__(self) -> None:
        self._end: OlderEnd | None = None
        self._rest: list[bytes] = []

    def feed(self, data: bytes) -> list[LogLine]:
        """Return the lines that are complete with this part of the answer."""
        if b"\n" not in data:
            self._rest.append(data)  # a long line comes in many parts
            return []
        *records, rest = b"".join((*self._rest, data)).split(b"\n")
        self._rest = [rest]
        return [line for record in records if (line := self._line(record)) is not None]

    def finish(self) -> OlderEnd:
        """Return the last record; raise an error if the answer ended without it."""
        if self._end is None:
            raise Unreachable(BROKEN_OFF)
        return self._end

    def _line(self, record: bytes) -> LogLine | None:
        try:
            message = wire.OLDER.decode(record)
        except msgspec.MsgspecError:
            return None  # of a later version of the service
        except UnicodeDecodeError:
            raise Unreachable("The answer was damaged on its way: it is not UTF-8") from None
        if isinstance(message, wire.Log):
            return line_of(message)
        self._end = OlderEnd(*msgspec.structs.astuple(message.data))
        return None
