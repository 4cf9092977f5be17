"""One log of ``mist logs``: its older lines, then its live ones, each once.

At the seam, the bus comes first: once its history is complete, the reader is asked for the
older lines.  So what the history holds is in the reader's answer, and what the bus brings
later either is in the answer, too, and is left out, or it is newer.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import zmq

from bus.follower import Follower, Item
from bus.reorder import Gap
from bus.wire import Kind, Message
from cli.log_beginning import Wanted
from cli.log_reader import BrokenOff, LogReader
from mist import clock, close_codes, messages
from mist.errors import BusError, Exit, MistError
from mist.messages import LogMessage
from mist.read_request import ReadRequest
from mist.settings import Settings
from workers.container.frames import Line
from workers.container.resume import Deduplicator, ResumePoint, after

# A reader that goes on behind a line is asked for lines from this long before it on: those of
# stdout and stderr may be slightly out of order in the engine's log.
_MARGIN_NS: Final = 1_000_000_000

# Lines that wait because another log has older ones, or that are compared at the seam.
_MOST: Final = 20_000
_MOST_BYTES: Final = 16_777_216


# The ends of a stream whose log can be read all the same; 0 is none.
_READABLE: Final = frozenset({0, close_codes.NORMAL, close_codes.NOT_RUNNING})


class Note(NamedTuple):
    """Text about a log, and the exit status if the log is over with it."""

    text: str
    final: int | None = None


Entry = LogMessage | Message | Gap | Note


class Choice(NamedTuple):
    """What to show of each log."""

    follow: bool
    older: bool
    """Ask a reader; otherwise begin with what the bus remembers."""
    since: str | None
    request: ReadRequest
    """The request for older lines, to which the log is added."""
    matches: Callable[[str], bool]
    tail: int
    """The number of lines to show of those that the bus remembers."""
    stopped: bool


class Source:
    """The lines and notes of one log, in the engine's order.

    ``ask`` starts a reader.  Without a follower, the log ends with the reader's answer.
    """

    def __init__(
        self,
        choice: Choice,
        settings: Settings,
        ask: Callable[[ReadRequest], LogReader],
        follower: Follower | None,
    ) -> None:
        self.queue: deque[tuple[float, Entry]] = deque()
        """What comes next, with its time of arrival; ``next`` takes it."""
        self._size = 0  # the characters of the lines in the queue
        self.follower = follower
        self.reader: LogReader | None = None
        self._choice = choice
        self._ask = ask
        self._wanted: Wanted | None = None
        self._patience = time.monotonic() + settings.streams.start_seconds
        self._live: Backlog | None = None  # of lines from the bus, while a reader answers
        self._seen = Seen()
        self._last: ResumePoint | None = None
        self._again: Deduplicator | None = None  # of a reader that goes on behind the last line
        self._behind = False  # the queue is full, and live lines are left to another reader
        self._ending: list[
            Message
        ] = []  # the end of the stream, which comes after a reader's lines
        self._floor = ""
        self._over = False
        self._now = time.monotonic()
        if follower is None:
            self._begin_reading()
        else:
            self._wanted = Wanted(choice.tail, choice.stopped)

    @property
    def reading(self) -> bool:
        """Return True if older lines may come before those of other logs."""
        return self._wanted is not None or self.reader is not None or self._behind

    @property
    def over(self) -> bool:
        """Return True if nothing more comes, except what is in the queue."""
        return self._over

    @property
    def _hungry(self) -> bool:
        """Return True if the queue has room for older lines."""
        return len(self.queue) < _MOST and self._size < _MOST_BYTES

    def next(self) -> Entry:
        """Take the first entry of the queue."""
        _arrived, entry = self.queue.popleft()
        self._size -= _size(entry)
        return entry

    def watch(self, poller: zmq.Poller) -> float:
        """Let a poller wait for what comes; return the time at which ``pump`` is due anyway."""
        due = self._patience if self._wanted else float("inf")
        if self.over:
            return due
        if self.follower is not None and not self._ending:
            due = min(due, self.follower.watch(poller))
        if self.reader is not None and self._hungry:
            poller.register(self.reader.fileno(), zmq.POLLIN)
            due = min(due, self.reader.due)
        return due

    def close(self) -> None:
        """End the demand and the reader."""
        for each in (self.follower, self.reader):
            if each is not None:
                each.close()

    def pump(self) -> None:
        """Take what has arrived."""
        if self.over:
            return
        self._now = time.monotonic()
        if self._live is None and self.reader is None and not self._hungry:
            # Another log has older lines.  The engine keeps these for later.
            self._behind = self.follower is not None and self._wanted is None
        if self.follower is not None and not self._ending:
            items = self.follower.take(0.0)
            if self._wanted is not None:
                self._begin(self._wanted, items)
            else:
                for item in items:
                    self._take(item)
        if self.reader is not None and self._hungry:
            self._read(self.reader)
        if self._behind and not self.queue:
            self._begin_reading()

    # The bus

    def _begin(self, wanted: Wanted, items: list[Item]) -> None:
        """Wait for the history, and begin with it or with a reader's answer."""
        if not wanted.hold(items):
            if time.monotonic() >= self._patience:
                raise BusError("no collector sends this log; run `mist status` to see why")
            return
        self._wanted = None
        beginning = wanted.beginning()
        last = beginning[-1]
        code = last.header.code if last.header.final else 0
        reads = self._choice.older and code in _READABLE
        if reads and code:
            self._ending = [beginning.pop()]
        for message in beginning:
            self._take(message)
        if reads:
            self._begin_reading()

    def _take(self, item: Item) -> None:
        """Take something from the bus."""
        lines = isinstance(item, Message) and item.header.kind is Kind.LOG
        if self._behind and lines:
            return
        entries = self._chosen(item.body) if isinstance(item, Message) and lines else [item]
        if self._live is None:
            self._show(entries)
        else:
            self._live.add(entries)

    def _chosen(self, body: bytes) -> list[LogMessage]:
        since, matches = self._choice.since or "", self._choice.matches
        lines = map(messages.read_log, body.split(b"\n"))
        return [line for line in lines if line.timestamp >= since and matches(line.data.line)]

    def _show(self, entries: Iterable[Entry]) -> None:
        """Put what came from the bus into the queue, without what a reader has sent."""
        lines: list[LogMessage] = []
        for entry in entries:
            if isinstance(entry, LogMessage):
                if not self._seen.take(entry) and entry.timestamp >= self._floor:
                    lines.append(entry)
                continue
            self._push(lines)
            lines = []
            self._add(entry)
            if isinstance(entry, Message) and entry.header.final:
                self._over = True
        self._push(lines)

    def _add(self, entry: Entry) -> None:
        self.queue.append((self._now, entry))

    def _push(self, lines: list[LogMessage]) -> None:
        self.queue.extend((self._now, line) for line in lines)
        self._size += sum(map(_size, lines))
        self._last = after(self._last, list(map(_line, lines)))

    # The reader

    def _begin_reading(self) -> None:
        request = self._choice.request
        if self._last is not None:
            moment = clock.nanoseconds(self._last.line.timestamp) - _MARGIN_NS
            since = max(clock.rfc3339(max(0, moment)), self._choice.since or "")
            request = msgspec.structs.replace(request, since=since, tail=None)
            self._again = Deduplicator(self._last)
        self._behind = False
        self._live = Backlog()
        self.reader = self._ask(request)

    def _read(self, reader: LogReader) -> None:
        begun = self._again.joined if self._again else self._last is not None
        try:
            lines = reader.take()
        except BrokenOff as error:
            # A reader gives up if its lines are not taken for a while, because another log has
            # older ones.
            self._end_reader(reader)
            if begun:
                self._begin_reading()
            else:
                self._fail(error)
            return
        except MistError as error:
            self._end_reader(reader)
            self._fail(error)
            return
        if lines and self._last is None and self._choice.request.tail is not None:
            # What the bus brought before is not among the last lines that were asked for.
            self._floor = lines[0].timestamp
        fresh = self._new(lines)
        for line in fresh:
            self._seen.add(line)
        self._push(fresh)
        if reader.done:
            self._end_reader(reader)
            self._join(reader.failure)

    def _new(self, lines: list[LogMessage]) -> list[LogMessage]:
        """Return the lines that were not shown by an earlier reader."""
        if self._again is None or self._again.joined:
            return lines
        fresh = self._again.feed([_line(line) for line in lines])
        return lines[len(lines) - len(fresh) :]

    def _end_reader(self, reader: LogReader) -> None:
        reader.close()
        self.reader = None

    def _join(self, failure: str) -> None:
        """Continue with what the bus has brought meanwhile."""
        if failure:
            self._fail(MistError(f"the log could not be read to its end: {failure}"))
            return
        if self._again is not None and not self._again.joined:
            self._add(Note(messages.skipped_text(messages.UNKNOWN, "rotated")))
        self._again = None
        live, self._live = self._live, None
        if live is not None and not live.complete:
            # Another reader, because this one may have ended before those lines were written.
            self._begin_reading()
            return
        if self.follower is None:
            self._over = True
            self._add(Note("", Exit.OK))
        self._show(live.entries if live else ())
        self._floor = ""
        self._show(self._ending)

    def _fail(self, error: MistError) -> None:
        self._over = True
        self._add(Note(str(error), error.exit_status))


class Seen:
    """The newest lines that a reader has sent, to find them among those of the bus.

    A line is known by its time in nanoseconds, its stream and its text.
    """

    def __init__(self) -> None:
        self._newest: deque[int] = deque()
        self._counts: Counter[int] = Counter()

    def add(self, line: LogMessage) -> None:
        """Note a line."""
        number = hash(_line(line))
        self._newest.append(number)
        self._counts[number] += 1
        if len(self._newest) > 2 * _MOST:
            self._forget(self._newest.popleft())

    def take(self, line: LogMessage) -> bool:
        """Return True if the line was noted, and forget it."""
        if not self._counts:
            return False
        number = hash(_line(line))
        return self._forget(number)

    def _forget(self, number: int) -> bool:
        if number not in self._counts:
            return False
        self._counts[number] -= 1
        if not self._counts[number]:
            del self._counts[number]
        return True


class Backlog:
    """What the bus has brought while a reader answers; of too much, the oldest is dropped."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.complete = True
        """Nothing was dropped."""
        self._size = 0

    def add(self, entries: Sequence[Entry]) -> None:
        """Add something from the bus."""
        self.entries.extend(entries)
        self._size += sum(map(_size, entries))
        while len(self.entries) > _MOST or self._size > _MOST_BYTES:
            self._size -= _size(self.entries.popleft())
            self.complete = False


def _size(entry: Entry) -> int:
    """Return the number of characters of a line."""
    return len(entry.data.line) if isinstance(entry, LogMessage) else 0


def _line(line: LogMessage) -> Line:
    return Line(line.timestamp, line.data.stream, line.data.line)
