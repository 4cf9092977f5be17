"""The rules of ``tail`` and ``since``, which choose where a client begins in a log.

Those of a range of older lines are in ``log_times.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from mist import clock, validation
from mist.errors import UsageError
from mist.ids import MAX_ID

# The form of a position; nobody but this module may depend on it.
_POSITION: Final = re.compile(r"p([1-9a-f][0-9a-f]{0,15})\.([1-9a-f][0-9a-f]{0,15})", re.ASCII)


class LinePosition(NamedTuple):
    """The position of a line in its topic: the number ``seq`` of an epoch.

    Its text is the ``pos`` of a log message, which a client may pass as ``since``.
    """

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"p{self.epoch:x}.{self.seq:x}"


# The position of no line, so that none is found.
NOWHERE: Final = LinePosition(0, 0)


class KeptLog(Protocol):
    """The lines that a service still has."""

    def timestamps(self) -> Iterator[str]:
        """Yield the times of the lines, the newest first."""

    def after(self, position: LinePosition) -> After:
        """Count the lines after the line with this position."""


class After(NamedTuple):
    """The number of kept lines after a line, and of those before them that are gone."""

    lines: int
    gone: int | None = 0
    """None if the line was not found, so that nobody knows."""


class LogRange(NamedTuple):
    """The newest ``tail`` lines among the lines after ``since``.  None means no limit."""

    tail: int | None = None
    since: str | LinePosition | None = None

    def choose(self, log: KeptLog, reach: int) -> Selection:
        """Choose from the kept lines.

        ``reach`` is the largest number of lines that a client may receive (``replay.lines``).
        """
        if isinstance(self.since, LinePosition):
            after = log.after(self.since)
            if after.gone is None:
                # Lines are skipped for all that is known, and cannot be counted.
                shown = min(after.lines, self._most(reach))
                return Selection(shown, 1, self.tail is None, unknown=self.tail is None)
            return self._select(after, reach)
        return self.select(log.timestamps(), reach)

    def select(self, newest_first: Iterable[str], reach: int) -> Selection:
        """Choose from the kept lines, given their time stamps."""
        if not isinstance(self.since, str):
            return Selection(self._most(reach), 0, beyond=False)
        return self._select(_after_time(self.since, newest_first), reach)

    def _most(self, reach: int) -> int:
        return reach if self.tail is None else min(self.tail, reach)

    def _select(self, after: After, reach: int) -> Selection:
        shown = min(after.lines, self._most(reach))
        older = after.lines - shown + (after.gone or 0)
        # A client that asked for a number of lines expects that there are others.
        return Selection(shown, older, self.tail is None and (after.gone is None or older > 0))


class Selection(NamedTuple):
    """The number of the newest lines to show.

    ``older`` counts the lines after ``since`` that are out of reach.  ``beyond`` is
    True if ``since`` lies before all lines within reach, or was not found.  With
    ``unknown`` it is the position of no line that anybody remembers.
    """

    lines: int
    older: int
    beyond: bool
    unknown: bool = False

    def skipped(self, *, complete: bool) -> int:
        """Return the number of missed lines to report to the client, as far as it is known.

        ``complete`` means that no earlier lines than the kept ones have ever existed.
        """
        return max(1, self.older) if self.beyond and (self.older or not complete) else 0


def log_range(tail: str | None, since: str | None, default: int) -> LogRange:
    """Return the range for two parameters; the last ``default`` lines without both.

    A UsageError names the parameter.
    """
    lines = None if tail is None else validation.integer("tail", tail, 0, MAX_ID)
    after = None if since is None else _since(since, "since")
    return LogRange(default if lines is None and after is None else lines, after)


def _since(text: str, name: str) -> str | LinePosition:
    if match := _POSITION.fullmatch(text):
        epoch, seq = (int(number, 16) for number in match.groups())
        if max(epoch, seq) <= MAX_ID:
            return LinePosition(epoch, seq)
    try:
        return clock.normalize(text)
    except ValueError as error:
        raise UsageError(f"{name}: {error}, nor the pos of a log message") from None


def _after_time(since: str, newest_first: Iterable[str]) -> After:
    """Count the lines after the last one of this time.

    The lines are in the engine's order, which is not always the order of their times.  If
    there is no line of this time, it lies before the first later one: then lines may come
    that were seen before, but none is left out.
    """
    later, seen = 0, 0
    for seen, timestamp in enumerate(newest_first, 1):
        if timestamp == since:
            return After(seen - 1)
        if timestamp > since:
            later = seen
    return After(later, 0 if later < seen else None)
