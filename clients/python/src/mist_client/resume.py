"""Resume a log exactly where it was left, without I/O.

The service gives each line a position, and resumes after the position of the last line.  If
it does not know that position any more, it says so and answers with everything that it
remembers.  Then the lines that were delivered before are recognised by their time, stream
and text, and dropped.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mist_client.events import LogLine

# More lines than the service repeats by default (1,000).
_REMEMBERED: Final = 4_096
# Lines of stdout and stderr are out of time order by less than this.  A line that is so much
# later than the last known line shows that the latter does not come any more.
_MARGIN: Final = timedelta(seconds=1)
# The largest number of lines that wait for the last known line, and of their characters: what the
# service remembers of a log by default (``streams.ring_lines``, ``ring_bytes``).
_HELD: Final = 20_000
_HELD_CHARACTERS: Final = 16 * 1024 * 1024
# Only a hash is kept of lines longer than this.
_KEPT_CHARACTERS: Final = 256
_SECONDS: Final = len("2025-01-15T10:30:00")


class Gap(NamedTuple):
    """The number of lines that are missing between the known lines and the new ones."""

    missing: int
    exact: bool


class _Seen(NamedTuple):
    time: str
    key: Hashable
    pos: str | None


class ResumePoint:
    """The newest lines of a log, so that a resumed stream continues after them."""

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque(maxlen=_REMEMBERED)

    def push(self, line: LogLine) -> None:
        """Remember a line that is delivered."""
        self._seen.append(_Seen(line.time, _key(line), line.pos))

    @property
    def since(self) -> str | None:
        """The position after which to resume; None before the first line.

        It is a time if the service does not number its lines.
        """
        if not self._seen:
            return None
        last = self._seen[-1]
        return last.pos or last.time

    def resume(self) -> Resume:
        """Return a filter for the lines of the next connection."""
        numbered = not self._seen or self._seen[-1].pos is not None
        return Resume(tuple(self._seen), numbered=numbered)


class Resume:
    """Drop the lines that a resumed log repeats, and measure the gap before the others."""

    def __init__(self, seen: Sequence[_Seen], *, numbered: bool = True) -> None:
        self.gap: Gap | None = None
        """The gap, known once the first new line is found or no more lines can come before it."""
        self._seen = seen
        self._numbered = numbered
        self._expected: Counter[Hashable] = Counter()
        self._waiting = False
        self._met = False
        self._fed = False
        self._missing = Gap(0, exact=numbered)
        self._held: list[LogLine] = []
        self._held_characters = 0

    def skip(self, lines: int) -> bool:
        """Note that the service leaves out lines before the first that it sends.

        ``lines`` is 0 if the service cannot count them, because it does not know the position.
        Return False if it has already sent lines, and now leaves out others.
        """
        if self._fed:
            return False
        if lines:
            self._missing = Gap(self._missing.missing + lines, self._missing.exact)
        else:
            self._missing = Gap(1, exact=False)
            self._expected.update(each.key for each in self._seen)
            self._waiting = bool(self._seen)
        return True

    def feed(self, line: LogLine) -> Sequence[LogLine]:
        """Return the lines that are now known to be new: usually this one, or none."""
        self._fed = True
        if not self._waiting:
            self._measure()
            return (line,)
        if self._is_known(line):
            # Every line that came before a known line existed before it.
            self._release()
            return ()
        self._held.append(line)
        self._held_characters += len(line.line)
        full = len(self._held) >= _HELD or self._held_characters >= _HELD_CHARACTERS
        return self.finish() if full or line.time > _later(self._seen[-1].time) else ()

    def finish(self) -> Sequence[LogLine]:
        """Return the lines that waited for the last known line, which can no longer come."""
        self._waiting = False
        self._measure()
        return self._release()

    def _release(self) -> Sequence[LogLine]:
        held, self._held, self._held_characters = self._held, [], 0
        return held

    def _is_known(self, line: LogLine) -> bool:
        key = _key(line)
        if not self._expected[key]:
            return False
        self._expected[key] -= 1
        self._met = True
        if key == self._seen[-1].key and not self._expected[key]:
            self._waiting = False
            self._measure()
        return True

    def _measure(self) -> None:
        # Lines follow a known line without a gap, so only known lines were left out.
        self.gap = self.gap or (Gap(0, exact=True) if self._met else self._missing)


def _key(line: LogLine) -> Hashable:
    text = line.line
    kept = text if len(text) <= _KEPT_CHARACTERS else (len(text), hash(text))
    return line.time, line.stream, kept


def _later(time: str) -> str:
    """Return a time of the service plus the margin; a text that is not a time as it is."""
    try:
        moment = datetime.fromisoformat(time[:_SECONDS]) + _MARGIN
    except (ValueError, OverflowError):
        return time
    return moment.isoformat() + time[_SECONDS:]
