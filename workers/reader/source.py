"""The engine's log of one container, read in one direction, and its failures.

Docker Engine API: "Get container logs".  The connection's buffers are all that lies
between the engine and the client: nothing is read before it can be sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from mist import clock, heartbeat
from mist.errors import EngineError, EngineUnreachable
from mist.settings import Settings
from workers import engine
from workers.reader.entries import Entry, parser
from workers.references import Inspection

_RECEIVE_BYTES: Final = 262_144

# From this many lines on, reads are paced.
_PACED_LINES: Final = 1_000

# Log drivers that compress rotated files unless told otherwise.
_COMPRESSING: Final = {"local": "true"}


class LogBroken(EngineError):
    """The log could not be read to its end; the text says why."""


class OutOfTime(LogBroken):
    """The time for one request is over."""


class EngineLog:
    """The log of one container, by its id."""

    def __init__(self, settings: Settings, inspection: Inspection) -> None:
        self._settings = settings
        self.container = str(inspection["Id"])
        self.tty = bool(inspection["Config"]["Tty"])
        created = inspection.get("Created")
        self.created = clock.normalize(created).encode() if created else b""
        """The time before which it has no line."""
        config = inspection["HostConfig"].get("LogConfig") or {}
        self.driver = str(config.get("Type", ""))
        default = _COMPRESSING.get(self.driver, "false")
        compress = (config.get("Config") or {}).get("compress", default)
        # Given ``since``, Docker 20.10 leaves out whole files that were compressed, whatever
        # they contain (the time in their headers is zero).  Then it must send everything.
        self._since_works = compress != "true"
        self._deadline = time.monotonic() + settings.reader.seconds

    def open(self, tail: int | None = None, since: str | None = None) -> Entries:
        """Request the last ``tail`` entries, or all; raise EngineError if it is refused.

        Lines before ``since`` may be left out, or not.
        """
        query: dict[str, Any] = {"stdout": 1, "stderr": 1, "timestamps": 1}
        query["tail"] = "all" if tail is None else tail
        if since and self._since_works:
            query["since"] = _unix(since)
        reply = engine.get(self._settings, f"/containers/{self.container}/logs", **query)
        return Entries(reply, self, self._settings)

    def newest(self) -> bytes:
        """Return the time of the newest line; empty without one."""
        for batch in self.open(1):
            return batch[-1][0]  # spares the check at the end of the response
        return b""

    def check(self) -> None:
        """Raise LogBroken unless the engine still has the container."""
        # In HTTP/1.0 the end of the connection is the end of the log, but also what is left
        # of an engine that was killed.
        try:
            engine.get_json(self._settings, f"/containers/{self.container}/json")
        except EngineError as error:
            raise LogBroken(failure_text(error)) from None

    def check_time(self) -> None:
        """Raise OutOfTime once the request has lasted for ``reader.seconds``."""
        if time.monotonic() > self._deadline:
            limit = f"{self._settings.reader.seconds:g} s (reader.seconds)"
            raise OutOfTime(f"the time limit of {limit} was reached; continue from there")


class Entries:
    """One response of the engine: lists of lines, the oldest first."""

    def __init__(self, reply: engine.Reply, log: EngineLog, settings: Settings) -> None:
        self._reply = reply
        self._log = log
        self._parser = parser(log.tty, settings.collector.line_bytes)
        self._pace = settings.collector.gather_seconds
        self.count = 0
        """The number of lines so far."""
        self.unterminated = False
        """The last line has no newline, as far as the log goes."""

    @property
    def pieces(self) -> int:
        """The number of the engine's entries so far; a long line takes several."""
        return self.count + self._parser.pieces

    def __iter__(self) -> Iterator[list[Entry]]:
        """Yield lines as they arrive; raise LogBroken if the log cannot be read to its end."""
        with closing(self._reply.connection):
            data = self._reply.begun or self._receive()
            due = 0.0
            while data:
                entries = self._parser.feed(data)
                self.count += len(entries)
                if entries:
                    yield entries
                self._fail()
                if self.count >= _PACED_LINES:
                    # The engine writes each line by itself and would wake this process for
                    # it.  It fills its socket in a pause, and then leaves time for live lines.
                    time.sleep(max(0.0, due - time.monotonic()))
                data = self._receive()
                due = time.monotonic() + self._pace
            entries = self._parser.finish()
            self._fail()
            self._log.check()
            self.count += len(entries)
            if entries:
                self.unterminated = True
                yield entries

    def _fail(self) -> None:
        if self._parser.failure:
            raise LogBroken(f"the engine could not read the log: {self._parser.failure}")

    def _receive(self) -> bytes:
        while True:
            self._log.check_time()
            try:
                # The engine may scan a long log before it sends the next line.
                with heartbeat.blocking(self._reply.connection.gettimeout() or 0.0):
                    return self._reply.connection.recv(_RECEIVE_BYTES)
            except TimeoutError:
                # The engine may only be searching for the first line of the range.
                self._log.check()
            except OSError as error:
                reason = engine.reason(error)
                raise LogBroken(f"Docker Engine is unreachable: {reason}") from None


def failure_text(error: EngineError) -> str:
    """Return the error as shown to clients, without the engine's address."""
    if isinstance(error, EngineUnreachable):
        return f"Docker Engine is unreachable: {error.reason}"
    # The engine answers 409 while it removes a container, and has no log of it any more.
    if isinstance(error, engine.EngineRefused) and error.status in (404, 409):
        return "the container was removed while its log was read"
    return str(error)


def _unix(timestamp: str) -> str:
    """Return a normalized timestamp in the engine's format, ``SECONDS.NANOSECONDS``."""
    # No line is older, and the engine takes some negative times for none at all.
    seconds, fraction = divmod(max(0, clock.nanoseconds(timestamp)), 1_000_000_000)
    return f"{seconds}.{fraction:09d}"
