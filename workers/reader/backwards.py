"""Read a log from its end to its beginning, in windows, with bounded memory.

The engine finds the last N entries from the end of the log's files, without reading what
comes before, so a window costs as many lines as it has.  Each window ends where the
previous one began.  That place is found by its lines, and not by counting, because the
log grows meanwhile and its oldest lines may be rotated away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from workers.reader.entries import Entry
from workers.reader.source import EngineLog, Entries, LogBroken

FIRST: Final = 1_000
"""The size of the first window, in lines; the next ones grow up to a limit in bytes."""
_GROWTH: Final = 2

# The lines that mark the beginning of the previous window.  Several, in case a line and
# its time stamp occur twice.
_MARK: Final = 8

# The memory of a line besides its text: a tuple and three objects.
LINE_BYTES: Final = 250


class Backwards:
    """The windows of a log, the newest first."""

    def __init__(self, log: EngineLog, window_bytes: int, first: int = FIRST) -> None:
        self._log = log
        self._bytes = window_bytes
        self._size = max(1, first)
        self._deep = 0  # entries from the end of the log to the mark, at least
        self.mark: list[Entry] = []
        """The oldest lines that were yielded, the oldest first."""
        self.unterminated = False
        """The newest line has no newline."""

    @property
    def deep(self) -> int:
        """The number of the last entries that contain everything that was yielded."""
        return self._deep

    def __iter__(self) -> Iterator[list[Entry]]:
        """Yield each window's lines, the oldest first; raise LogBroken as Entries does."""
        pending: Entry | None = None
        newest = self._log.newest()
        while True:
            asked = self._deep + self._size + 1
            window = Window(self._log.open(asked), self.mark, self._bytes)
            window.read()
            if not self.mark:
                self.unterminated = window.entries.unterminated
            held = window.held
            # The engine does not say that it stops at damaged data; then the end is missing.
            if not window.found or (not self.mark and (held[-1][0] if held else b"") < newest):
                if not window.whole(asked):
                    self._size *= 4  # the log has grown by more than a window
                elif self._size > 1:
                    self._size = max(1, self._size // 4)
                else:
                    raise damaged()
            elif window.dropped:
                pending = None
                yield self._step(held, asked - window.dropped)
            elif window.whole(asked) or self._begins_with(held, pending):
                yield self._step(held, asked)
                return
            else:
                # The first line may be the end of one that began before the window.
                pending = held[0] if held else None
                yield self._step(held[1:], asked)
                self._size *= _GROWTH

    def _begins_with(self, held: list[Entry], pending: Entry | None) -> bool:
        """Return True if the log begins with a window that has nothing new."""
        if not self.mark or held[1:] or held[:1] != [pending][: len(held)]:
            return False
        for batch in self._log.open():
            if held:
                return batch[0] == pending
            if pending is not None and batch[0] == self.mark[0]:
                raise damaged()
            return batch[0] == self.mark[0]
        return False

    def _step(self, lines: list[Entry], deep: int) -> list[Entry]:
        self.mark = extend_mark(lines, self.mark)
        self._deep = deep
        return lines


class ForwardsFrom:
    """The lines of a response from a mark on."""

    def __init__(self, mark: list[Entry], entries: Entries) -> None:
        self.found = False
        self._mark = mark
        self._entries = entries

    @property
    def unterminated(self) -> bool:
        """The last line has no newline, as far as the log goes."""
        return self._entries.unterminated

    def __iter__(self) -> Iterator[list[Entry]]:
        """Yield the mark's lines, and all after them."""
        held: list[Entry] = []
        for batch in self._entries:
            if self.found:
                yield batch
                continue
            held += batch
            at, start = find_mark(held, self._mark)
            self.found = at is not None
            del held[:start]
            if self.found:
                yield held
        if not self.found:
            at, _ = find_mark(held, self._mark, ended=True)
            if at is not None:
                self.found = True
                yield held[at:]


class Window:
    """The lines before a mark; of too many bytes, the newest ones."""

    def __init__(self, entries: Entries, mark: list[Entry], most: int) -> None:
        self.entries = entries
        self.held: list[Entry] = []
        self.dropped = 0
        """The number of older lines that were not kept."""
        self.found = not mark
        self._mark = mark
        self._most = most
        self._cost = 0
        self._ended = False

    def whole(self, asked: int) -> bool:
        """Return True if the window begins with the log; known only if it was read to its end."""
        return self._ended and self.entries.pieces < asked

    def read(self) -> None:
        """Read up to the mark, or to the end of the log."""
        searched = 0
        for batch in self.entries:
            self.held += batch
            if self._mark:
                searched = self._search(searched)
                if self.found:
                    return
            self._cost += cost(batch)
            if self._cost > self._most:
                searched = max(0, searched - self._drop())
        self._ended = True
        if self._mark:
            self._search(searched, ended=True)

    def _search(self, start: int, *, ended: bool = False) -> int:
        at, start = find_mark(self.held, self._mark, start, ended=ended)
        if at is not None:
            self.found = True
            del self.held[at:]
        return start

    def _drop(self) -> int:
        """Forget the oldest lines until half of the memory is free; return their number."""
        count = 0
        # Not those in which the mark may begin.
        most = len(self.held) - len(self._mark) - 1
        while self._cost > self._most // 2 and count < most:
            self._cost -= cost(self.held[count : count + 1])
            count += 1
        del self.held[:count]
        self.dropped += count
        return count


def find_mark(
    held: list[Entry], mark: list[Entry], start: int = 0, *, ended: bool = False
) -> tuple[int | None, int]:
    """Return the index of a mark, or None, and the index from which to look the next time.

    With ``ended`` the mark may be cut off by the end.
    """
    oldest = mark[0]
    for index in range(start, len(held)):
        if held[index] != oldest:
            continue
        have = len(held) - index
        if have < len(mark) and not ended:
            return None, index
        if held[index : index + len(mark)] == mark[:have]:
            return index, index
    return None, len(held)


def extend_mark(lines: list[Entry], mark: list[Entry]) -> list[Entry]:
    """Return the mark for older lines, which come before those of ``mark``."""
    return (lines[:_MARK] + mark)[:_MARK]


def cost(entries: list[Entry]) -> int:
    """Return the memory that lines take, in bytes."""
    return sum(len(entry[2]) for entry in entries) + LINE_BYTES * len(entries)


def damaged() -> LogBroken:
    """Return the error for lines that the engine has, but does not send."""
    return LogBroken("the log is damaged, or was rotated while it was read; lines are missing")
