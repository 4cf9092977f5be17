"""Read one log of a service on another machine: its older lines, then its live ones."""

from __future__ import annotations

import time
from typing import Final, NamedTuple, Protocol

import msgspec

from cli.log_source import Choice, Entry, Note
from cli.remote.following import StreamEnded, follow, longer
from cli.remote.service import UNREADABLE, Busy, RemoteService, Unreachable
from mist import clock, close_codes, messages
from mist.errors import Exit
from mist.messages import LogLine, LogMessage, Stream
from workers.container.frames import Line
from workers.container.resume import Deduplicator, ResumePoint, after

_PATH: Final = "/ws/container/logs"
# A time before every line: the service answers with everything that it remembers.
_BEGINNING: Final = "0001-01-01T00:00:00Z"
# How long after the service's first message its answer about earlier lines may take.
_SETTLE_SECONDS: Final = 1.0
# A range that goes on behind a line is asked for from this long before it on: lines of stdout
# and stderr may be slightly out of order in the engine's log.
_MARGIN_NS: Final = 1_000_000_000


class _Data(msgspec.Struct):
    """The fields of all messages of a log."""

    line: str = ""
    stream: Stream = "stdout"
    pos: str | None = None
    container: str = ""
    state: str = ""
    status: str = ""
    message: str = ""
    reached: str | None = None
    complete: bool = True


class _Message(msgspec.Struct):
    """A message of a log."""

    type: str
    timestamp: str
    data: _Data


_decoder: Final = msgspec.json.Decoder(_Message)


class Log(NamedTuple):
    """One log, by the parameters of its stream and the path of its older lines."""

    name: str
    parameters: dict[str, object]
    older: str


class Output(Protocol):
    """What takes the entries."""

    def put(self, entry: Entry) -> None:
        """Take an entry."""

    def settle(self) -> None:
        """Note that from now on only new lines come."""


class Reading:
    """The older lines of a log, if they are asked for, and then the live ones, each once."""

    def __init__(self, service: RemoteService, log: Log, choice: Choice, output: Output) -> None:
        self._service = service
        self._log = log
        self._choice = choice
        self._output = output

    def run(self) -> int:
        """Read the log to its end, and return the exit status."""
        begin: dict[str, object] = {"tail": self._choice.tail}
        if self._choice.older:
            end = _Range(self._service, self._log, self._choice, self._output).read()
            if not end.complete or not self._choice.follow:
                return Exit.OK if end.complete else Exit.FAILURE
            begin = self._behind(end.reached)
        return _Live(self._service, self._log, self._choice, self._output, begin).read()

    def _behind(self, reached: str | None) -> dict[str, object]:
        """Return the parameters of the stream that follows a range."""
        if self._choice.request.tail == 0:
            return {"tail": 0}
        # After the last line that was read, whether it matched or not.
        return {"since": reached or self._choice.since or _BEGINNING}


class _Range:
    """The lines of a range, which goes on where its answer broke off."""

    def __init__(self, service: RemoteService, log: Log, choice: Choice, output: Output) -> None:
        self._service = service
        self._path = log.older
        self._choice = choice
        self._output = output
        self._begun = False
        self._last: ResumePoint | None = None
        self._again = Deduplicator(None)

    def read(self) -> _Data:
        """Put all lines, and return the end of the answer."""
        pause = 0.0
        while True:
            try:
                end = self._ask()
            except Unreachable as error:
                if not self._begun and not isinstance(error, Busy):
                    raise
                if not pause:
                    self._output.put(Note(f"{error}; trying again"))
                pause = longer(pause)
                time.sleep(pause)
                continue
            if not self._again.joined:
                self._output.put(Note(messages.skipped_text(messages.UNKNOWN, "rotated")))
            if end.message:
                self._output.put(Note(end.message))
            return end

    def _ask(self) -> _Data:
        self._again = Deduplicator(self._last)
        for raw in self._service.lines(self._path, **self._parameters()):
            self._begun = True
            if not raw:
                continue
            message = _decode(self._service, raw)
            if message.type == "end":
                return message.data
            if message.type == "log":
                self._line(Line(message.timestamp, message.data.stream, message.data.line))
        raise Unreachable(f"{self._service.url}: the answer broke off before its end")

    def _parameters(self) -> dict[str, object]:
        asked = self._choice.request
        since, tail = asked.since, asked.tail
        if self._last is not None:
            moment = clock.nanoseconds(self._last.line.timestamp) - _MARGIN_NS
            since, tail = max(clock.rfc3339(max(0, moment)), since or ""), None
        wanted: dict[str, object] = {"since": since, "until": asked.until, "tail": tail}
        if asked.q:
            wanted |= {"q": asked.q, "regex": int(asked.regex), "case": int(asked.case)}
            wanted["invert"] = int(asked.invert)
        return wanted

    def _line(self, line: Line) -> None:
        for new in self._again.feed([line]):
            self._last = after(self._last, [new])
            self._output.put(LogMessage(new.timestamp, LogLine(new.text, new.stream)))


class _Live:
    """The stream, over as many connections as it takes."""

    def __init__(
        self,
        service: RemoteService,
        log: Log,
        choice: Choice,
        output: Output,
        begin: dict[str, object],
    ) -> None:
        self._service = service
        self._log = log
        self._choice = choice
        self._output = output
        self._begin = begin
        self._joined = ""  # the service's time of the first connection
        self._last: str | None = None
        self._settles = float("inf")
        self._resumes = self._failed = False

    def read(self) -> int:
        """Put the messages until the end, and return the exit status."""
        try:
            for raw in follow(
                self._service, _PATH, self._parameters, self._note, self._output.settle
            ):
                message = _decode(self._service, raw)
                self._take(message)
                if message.type == "end":
                    return Exit.OK
        except StreamEnded as ended:
            return self._status(ended.code)
        raise AssertionError("a stream ends with an exception")

    def _parameters(self) -> dict[str, object]:
        where = self._where()
        self._resumes = bool(self._joined) and not self._failed
        # A container that has stopped in the meantime sends its last lines only on request.
        stopped = self._choice.stopped or "since" in where
        return {**self._log.parameters, "pos": 1, "stopped": int(stopped), **where}

    def _where(self) -> dict[str, object]:
        """Return where the next connection begins."""
        if self._last is not None:
            return {"since": self._last}
        if not self._joined or "since" in self._begin:
            return self._begin
        # No line has come, so what the log has now was written since the first connection.
        return {"since": _BEGINNING if self._begin["tail"] else self._joined}

    def _take(self, message: _Message) -> None:
        data = message.data
        self._last = data.pos or self._last
        if message.type == "log":
            since = self._choice.since or ""
            if message.timestamp >= since and self._choice.matches(data.line):
                line = LogLine(data.line, data.stream)
                self._output.put(LogMessage(message.timestamp, line))
        elif message.type == "status":
            if not self._joined:
                self._joined = message.timestamp
                self._settles = time.monotonic() + _SETTLE_SECONDS
            self._note(f"{data.container} is {data.state} ({data.status})")
        else:
            self._failed = self._failed or message.type == "error"
            self._note(data.message)
        if time.monotonic() >= self._settles:
            self._output.settle()
            self._settles = float("inf")

    def _note(self, text: str) -> None:
        self._output.put(Note(text))

    def _status(self, code: int) -> int:
        if code == close_codes.NOT_RUNNING and self._resumes:
            return Exit.OK  # it has stopped while the connection was away
        if not self._failed:
            self._note(f"{self._service.url} closed the log with code {code}")
        if code == close_codes.TRY_AGAIN_LATER:
            return Exit.UNAVAILABLE
        if code in {close_codes.SESSION_EXPIRED, close_codes.PERMISSION_DENIED}:
            return Exit.NO_PERMISSION
        return Exit.FAILURE


def _decode(service: RemoteService, raw: bytes) -> _Message:
    try:
        return _decoder.decode(raw)
    except UNREADABLE as error:
        raise service.misunderstood(error) from None
