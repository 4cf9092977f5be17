"""Which part of a log a client begins with: the rules of ``tail`` and ``since``.

The HTTP API and the command have the same parameters; each of them only passes on
the text of a UsageError in its own way.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from mist import clock, validation
from mist.errors import UsageError
from mist.ids import MAX_ID


class LogRange(NamedTuple):
    """The newest ``tail`` lines of those after ``since``; None where there is no such limit."""

    tail: int | None = None
    since: str | None = None

    def select(self, newest_first: Iterable[str], reach: int) -> Selection:
        """Choose from the lines that are kept, given their time stamps.

        ``reach`` is how many of them a client may have, ``replay.lines``.
        """
        most = reach if self.tail is None else min(self.tail, reach)
        if self.since is None:
            return Selection(most, 0, beyond=False)
        later, found = _count_after(self.since, newest_first, reach)
        older = max(0, later - most)
        # A client that asked for so many lines knows that there may be others.
        return Selection(
            later - older, older, beyond=self.tail is None and not (found and not older)
        )


class Selection(NamedTuple):
    """How many of the newest lines to show.

    ``older`` is how many lines after ``since`` are kept and out of reach; ``beyond``
    tells that ``since`` lies before everything that is within reach.
    """

    lines: int
    older: int
    beyond: bool

    def skipped(self, *, complete: bool) -> int:
        """Return how many lines a client is told that it missed, as far as that is known.

        ``complete``: the lines that were kept are all that there ever were.
        """
        return max(1, self.older) if self.beyond and (self.older or not complete) else 0


def log_range(tail: str | None, since: str | None, default: int, *, prefix: str = "") -> LogRange:
    """Return the range that two parameters ask for, or the last ``default`` lines for none.

    ``prefix`` comes before the parameter's name in what a UsageError says.
    """
    lines = None if tail is None else validation.integer(f"{prefix}tail", tail, 0, MAX_ID)
    try:
        after = None if since is None else clock.normalize(since)
    except ValueError as error:
        raise UsageError(f"{prefix}since: {error}") from None
    return LogRange(default if lines is None and after is None else lines, after)


def _count_after(since: str, newest_first: Iterable[str], reach: int) -> tuple[int, bool]:
    """Count the lines behind the one of that time; the flag tells that there is such a line.

    The order is the engine's. It is that of the times until somebody sets the clock back,
    so the line with just that time decides, and without it the last one that is earlier.
    """
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
