"""Read the requested range of a log in the requested order, and send what matches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mist.errors import EngineError
from mist.messages import ContainerStatus
from mist.read_request import ReadRequest
from mist.settings import Settings
from workers.reader.answer import Answer
from workers.reader.backwards import (
    FIRST,
    LINE_BYTES,
    Backwards,
    ForwardsFrom,
    cost,
    damaged,
    extend_mark,
)
from workers.reader.entries import Entry
from workers.reader.kept import Batch, OlderLines
from workers.reader.runs import Change, Runs
from workers.reader.search import chooser
from workers.reader.source import EngineLog, LogBroken, OutOfTime, failure_text

# Reading ends when this many lines in a row lie beyond the range.  The engine's time stamps
# grow, but those of stdout and stderr may be slightly out of order, and those of all lines
# if the clock was set back.
_BEYOND: Final = 1_000

# The largest first window of a tail, and the growth of a log for which there is room.
_LARGE: Final = 10_000

# The lines that are encoded at once.  JSON makes six bytes of each control character.
_SLICE_BYTES: Final = 262_144


class Reading:
    """One request, from its first line to its final record."""

    def __init__(
        self,
        log: EngineLog,
        request: ReadRequest,
        settings: Settings,
        answer: Answer,
        older: OlderLines,
    ) -> None:
        self._log = log
        self._runs = Runs((), request)
        self._older = older
        self._request = request
        self._window_bytes = settings.reader.window_bytes
        self._tty = log.tty
        self._choose = chooser(request, tty=log.tty)
        self._answer = answer
        self._since = (request.since or "").encode()
        self._until = (request.until or "").encode()
        self._lines = self._matched = 0
        self._reached = b""
        self._open_end = False  # the last line read has no newline

    def run(self, changes: Iterable[Change] = ()) -> None:
        """Send the lines and the final record; raise EngineError if the log cannot be read.

        ``changes`` of the container are placed among the lines.
        """
        self._runs = Runs(changes, self._request)
        lines = self._source()
        failure = ""
        try:
            if self._request.seam:
                self.join(newer_begun=False)
            first = next(lines, None)
        except LogBroken as error:
            first, failure = None, str(error)
        self._answer.begin(tty=self._log.tty)
        complete = not failure
        try:
            if first is not None:
                complete = self._send(first) and all(map(self._send, lines))
        except EngineError as error:
            complete, failure = False, failure_text(error)
        except SystemExit:
            complete, failure = False, self._stopped()
        failure = failure or self._older.failure
        self._end(complete and not failure, failure)

    # Its lines may in turn be older than those of another container.

    @property
    def failure(self) -> str:
        """The newest problem with older lines."""
        return self._older.failure

    def join(self, *, newer_begun: bool) -> bool:
        """Make the range one piece of the log; return True if it begins here or in older lines."""
        since, until = self._since, self._until
        if newer_begun:
            self._until = b""
        begins = self._older.join(newer_begun=newer_begun or self._log.created < until)
        if begins:
            self._since = b""
        return begins or (bool(since) and self._log.newest() >= since)

    def forwards(self) -> Iterator[Batch]:
        """Yield the lines of the range, the oldest first."""
        return self._batches(self._forwards())

    def backwards(self) -> Iterator[Batch]:
        """Yield the lines of the range, the newest first."""
        return self._batches(self._backwards())

    def last(self, count: int) -> Iterator[Batch]:
        """Yield the last ``count`` lines of the range, the oldest first."""
        return self._batches(self._tail(count))

    def _batches(self, lines: Iterator[list[Entry]]) -> Iterator[Batch]:
        return (Batch(entries, self._tty) for entries in lines)

    def _stopped(self) -> str:
        """Return why the supervisor ends this process, perhaps during a long search."""
        try:
            self._log.check_time()
        except OutOfTime as error:
            return str(error)
        return "the service is stopping"

    def _source(self) -> Iterator[list[Entry]]:
        if self._request.order == "desc":
            return self._backwards()
        if self._request.tail is not None:
            return self._tail(self._request.tail)
        return self._forwards()

    # Each of these yields lines of the range in the order in which to send them.  The first
    # item comes when the engine has accepted the request.

    def _forwards(self) -> Iterator[list[Entry]]:
        newest, seen, last = self._log.newest(), b"", b""
        yield []
        yield from self._lines_of(self._older.forwards())
        entries = self._log.open(None, self._since.decode())
        after = 0
        for batch in entries:
            self._open_end = entries.unterminated
            lines = self._in_range(batch)
            yield lines
            last = batch[-1][0]
            seen = max(seen, last)
            later = bool(self._until) and batch[0][0] >= self._until and not lines
            after = after + len(batch) if later else 0
            if after >= _BEYOND:
                return
        ended = bool(self._until) and last >= self._until
        if not ended and max(seen, self._since) < newest:
            raise damaged()

    def _backwards(self) -> Iterator[list[Entry]]:
        limit, first = self._request.limit, FIRST
        if limit and not self._choose and not self._until:
            first = min(limit + 1, FIRST)  # one more line shows that there are more
        for window in self._windows(Backwards(self._log, self._window_bytes, first)):
            yield from slices(window[::-1])
        yield from self._lines_of(self._older.backwards())

    def _tail(self, count: int) -> Iterator[list[Entry]]:
        """Yield the last lines of the range, the oldest first.

        The first of them is found backwards.  A tail that fits into memory is kept
        meanwhile; a longer one is read once more, forwards.
        """
        windows = Backwards(self._log, self._window_bytes, min(count, _LARGE) + 1)
        held: list[list[Entry]] = []
        mark: list[Entry] = []
        missing, room = count, self._window_bytes
        failure: LogBroken | None = None
        try:
            for window in self._windows(windows):
                lines = window[max(0, len(window) - missing) :]
                missing -= len(lines)
                mark = extend_mark(lines, mark)
                room -= cost(lines)
                held = [*held, lines] if room >= 0 else []
                if missing <= 0:
                    break
                yield []
        except LogBroken as error:
            failure = error  # first send what could be read
        else:
            if missing > 0:
                yield from self._lines_of(self._older.last(missing))
        if room < 0:
            yield from self._from(mark, windows.deep, count - missing)
        while held:
            for lines in slices(held.pop()):
                self._open_end = not held and windows.unterminated
                yield lines
        if failure:
            raise failure

    def _from(self, mark: list[Entry], deep: int, count: int) -> Iterator[list[Entry]]:
        """Yield ``count`` lines of the range, beginning at a mark ``deep`` entries back."""
        for asked in (deep + _LARGE, None):  # more entries, because the log grows
            forwards = ForwardsFrom(mark, self._log.open(asked))
            for batch in self._all(forwards):
                yield batch[:count]
                count -= len(batch)
                if count <= 0:
                    return
            if forwards.found:
                return
        raise damaged()

    def _all(self, batches: ForwardsFrom) -> Iterator[list[Entry]]:
        for batch in batches:
            self._open_end = batches.unterminated
            yield self._in_range(batch)

    def _lines_of(self, batches: Iterator[Batch]) -> Iterator[list[Entry]]:
        """Yield the lines of replaced containers, which may have had a terminal or not."""
        for batch in batches:
            self._set_terminal(batch.tty)
            yield batch.entries
        self._set_terminal(self._log.tty)

    def _set_terminal(self, tty: bool) -> None:
        self._answer.tty = tty
        if tty != self._tty:
            self._tty = tty
            self._choose = chooser(self._request, tty=tty)

    def _windows(self, windows: Backwards) -> Iterator[list[Entry]]:
        """Yield the lines of each window that are in the range, the oldest first."""
        before = 0
        for window in windows:
            lines = self._in_range(window)
            yield lines
            earlier = bool(window) and window[-1][0] < self._since and not lines
            before = before + len(window) if earlier else 0
            if before >= _BEYOND:
                return

    def _in_range(self, entries: list[Entry]) -> list[Entry]:
        since, until = self._since, self._until
        if until:
            return [entry for entry in entries if since <= entry[0] < until]
        return [entry for entry in entries if since <= entry[0]] if since else entries

    # Sending

    def _send(self, entries: list[Entry]) -> bool:
        """Send what matches; return False if the limit leaves out the rest."""
        if not entries:
            self._answer.flush()
            return True
        if self._matched == self._request.limit:
            return False
        chosen = self._choose(entries) if self._choose else entries
        read = entries
        if self._request.limit is not None:
            chosen = chosen[: self._request.limit - self._matched]
            if self._matched + len(chosen) == self._request.limit:
                read = _up_to(chosen[-1], entries)
        self._matched += len(chosen)
        self._lines += len(read)
        self._reached = read[-1][0]
        last = bool(chosen) and chosen[-1] is entries[-1]
        for part in self._runs.among(chosen):
            if isinstance(part, Change):
                self._status(part)
            else:
                self._answer.lines(part, terminated=not (self._open_end and last))
        self._answer.flush()
        return len(read) == len(entries)

    def _status(self, change: Change) -> None:
        name = self._request.container or ""
        self._answer.status(change.timestamp, ContainerStatus(name, change.state, change.status))

    def _end(self, complete: bool, failure: str) -> None:
        for change in self._runs.rest() if complete else ():
            self._status(change)
        data: dict[str, object] = {
            "lines": self._lines,
            "matched": self._matched,
            "complete": complete,
            "reached": self._reached.decode() or None,
        }
        self._answer.end(data | ({"message": failure} if failure else {}))


def slices(lines: list[Entry]) -> Iterator[list[Entry]]:
    """Yield lines in lists whose messages do not take much memory, at least an empty one."""
    start = room = 0
    for at, entry in enumerate(lines):
        room -= len(entry[2]) + LINE_BYTES
        if room < 0:
            yield lines[start:at]
            start, room = at, _SLICE_BYTES
    yield lines[start:]


def _up_to(last: Entry, entries: list[Entry]) -> list[Entry]:
    """Return the entries up to ``last``, which is one of these very objects."""
    return entries[: next(at for at, entry in enumerate(entries, 1) if entry is last)]
