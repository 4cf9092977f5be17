"""Resume a reopened stream after the last published line, without I/O.

The *resume point* is the last published line.  The engine is asked for everything since
a moment before it, because lines of stdout and stderr may be slightly out of order in
the engine's file.  The order of the file decides: lines after the resume point are new,
lines before it are not.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from mist import clock
from workers.container.frames import Line, unstamped

# The request to the engine starts this long before the resume point, and a line this long
# after it proves that the resume point is gone.  The engine has one copier for stdout and
# one for stderr.  Both stamp a line before they queue for the file, so the disorder is
# limited to the duration of a write.
MARGIN_NS: Final = 1_000_000_000

# This many lines newer than the resume point prove the same.  Limits the held lines.
_HELD: Final = 20_000

_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) ")


class ResumePoint(msgspec.Struct, frozen=True):
    """The last published line, and how many times in a row it was published."""

    line: Line
    repeats: int = 1

    @property
    def since(self) -> str:
        """The engine's ``since`` (``SECONDS.NANOSECONDS``) for a stream that resumes here."""
        seconds, fraction = divmod(self._nanoseconds() - MARGIN_NS, 1_000_000_000)
        return f"{seconds}.{fraction:09d}"

    @property
    def horizon(self) -> str:
        """The time stamp after which no line precedes the resume point in the engine's file."""
        return clock.rfc3339(self._nanoseconds() + MARGIN_NS)

    def _nanoseconds(self) -> int:
        return clock.nanoseconds(self.line.timestamp)


def after(point: ResumePoint | None, lines: Sequence[Line]) -> ResumePoint | None:
    """Return the resume point after ``lines`` were published, too."""
    if not lines:
        return point
    last = lines[-1]
    repeats = 1
    while repeats < len(lines) and lines[-1 - repeats] == last:
        repeats += 1
    if point and repeats == len(lines) and point.line == last:
        repeats += point.repeats
    return ResumePoint(last, repeats)


class Deduplicator:
    """A filter that leaves out what was published before, including the resume point.

    Without a resume point every line is new.  A resume point may be gone, for instance
    because its file was rotated away.  Then ``lost`` is True, everything that the engine
    still has is new, and ``release`` returns the lines held so far.
    """

    def __init__(self, point: ResumePoint | None) -> None:
        self.joined = point is None  # the resume point was passed; every further line is new
        self.lost = False
        self._point = point
        self._horizon = point.horizon if point else ""
        self._met = 0  # identical lines at the resume point
        self._later = 0  # lines that are newer than the resume point
        self._held: deque[Line] = deque(maxlen=2 * _HELD)

    def feed(self, lines: list[Line]) -> list[Line]:
        """Return the new lines among ``lines``; none until the resume point was passed."""
        if self.joined:
            return lines
        for index, line in enumerate(lines):
            if self._meet(line):
                return lines[index + 1 :]
            if grown := self._grown(line):
                return [grown, *lines[index + 1 :]]
        return []

    def release(self) -> list[Line]:
        """Give up the resume point; return the held lines that are newer than it.

        A stream that broke before it reached the resume point looks the same.  So older
        lines stay out, and no line is published twice.
        """
        assert self._point is not None
        self.joined = True
        held, self._held = self._held, deque()
        return [line for line in held if line.timestamp > self._point.line.timestamp]

    def _meet(self, line: Line) -> bool:
        """Take one more line; return True if it is the last published one."""
        assert self._point is not None
        if line == self._point.line:
            self._met += 1
            self._held.clear()
            self.joined = self._met == self._point.repeats
            return self.joined
        self._held.append(line)
        self._later += line.timestamp > self._point.line.timestamp
        self.lost = self.lost or line.timestamp > self._horizon or self._later == _HELD
        return False

    def _grown(self, line: Line) -> Line | None:
        """Return the line that the engine appended to the resume point, if it did.

        The last line of a terminal, such as a prompt, has no newline when its container
        ends, and was published without one.  After the container's next start the engine's
        unframed stream continues directly behind it.
        """
        assert self._point is not None
        known = self._point.line
        if line.timestamp != known.timestamp or not line.text.startswith(known.text):
            return None
        match = _STAMP.match(line.text, len(known.text))
        if match is None:
            return None
        self.joined = True
        rest = unstamped(line.text[match.end() :].encode(), match[0].encode())
        return Line(match[1], line.stream, rest.decode("utf-8", "replace"))
