"""The rules of ``tail`` and ``since``, which choose where a client begins in a log.

The HTTP API and ``mist logs`` share them, and differ only in how they report a UsageError.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from mist import clock, validation
from mist.errors import UsageError
from mist.ids import MAX_ID


class LogRange(NamedTuple):
    """The newest ``tail`` lines among the lines after ``since``.  None means no limit."""

    tail: int | None = None
    since: str | None = None

    def select(self, newest_first: Iterable[str], reach: int) -> Selection:
        """Choose from the kept lines, given their time stamps.

        ``reach`` is the largest number of lines that a client may receive (``replay.lines``).
        """
        most = reach if self.tail is None else min(self.tail, reach)
        if self.since is None:
            return Selection(most, 0, beyond=False)
        later, found = _count_after(self.since, newest_first, reach)
        older = max(0, later - most)
        # A client that asked for a number of lines expects that there are others.
        return Selection(
            later - older, older, beyond=self.tail is None and not (found and not older)
        )


class Selection(NamedTuple):
    """The number of the newest lines to show.

    ``older`` counts the kept lines after ``since`` that are out of reach.  ``beyond`` is
    True if ``since`` lies before all lines within reach.
    """

    lines: int
    older: int
    beyond: bool

    def skipped(self, *, complete: bool) -> int:
        """Return the number of missed lines to report to the client, as far as it is known.

        ``complete`` means that no earlier lines than the kept ones have ever existed.
        """
        return max(1, self.older) if self.beyond and (self.older or not complete) else 0


def log_range(tail: str | None, since: str | None, default: int, *, prefix: str = "") -> LogRange:
    """Return the range for two parameters; the last ``default`` lines without both.

    A UsageError names the parameter with ``prefix`` in front of it.
    """
    lines = None if tail is None else validation.integer(f"{prefix}tail", tail, 0, MAX_ID)
    try:
        after = None if since is None else clock.normalize(since)
    except ValueError as error:
        raise UsageError(f"{prefix}since: {error}") from None
    return LogRange(default if lines is None and after is None else lines, after)


def _count_after(since: str, newest_first: Iterable[str], reach: int) -> tuple[int, bool]:
    """Count the lines after the line of that time; return also whether there is such a line."""
    # The lines are in the engine's order, which is the order of their times unless the clock
    # was set back.  Therefore the line with exactly that time decides, and only without one
    # the newest earlier line.
    count = -1
    lines = iter(newest_first)
    for count, timestamp in enumerate(lines):
        if timestamp == since:
            return count, True
        if timestamp < since:
            rest = islice(lines, max(0, reach - count - 1))
            exact = (more for more, later in enumerate(rest, count + 1) if later == since)
            return next(exact, count), True
    return count + 1, False
