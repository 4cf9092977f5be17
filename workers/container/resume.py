"""Joins a stream that was opened again to what was already published, without I/O.

The engine is asked for everything since a moment before the last published
line, the *resume point*, because lines of stdout and stderr may stand slightly out of
the order of their time stamps in its file.  The order of the file is the order:
whatever stands after the resume point is new, whatever stands before it is not.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from mist import clock
from workers.container.frames import Line, unstamped

#: How far before the resume point the engine is asked, and how far behind it a line
#: proves that the resume point is gone.  Two copiers of one container stamp their lines
#: before they queue for the file; what separates them is the time of one write.
MARGIN_NS: Final = 1_000_000_000

#: So many lines that are newer than the resume point prove the same, which bounds what is held.
_HELD: Final = 20_000

_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) ")


class ResumePoint(msgspec.Struct, frozen=True):
    """The last published line, and how many times in a row it was published."""

    line: Line
    repeats: int = 1

    @property
    def since(self) -> str:
        """The engine's ``since`` (``SECONDS.NANOSECONDS``) for a stream to be joined here."""
        seconds, fraction = divmod(self._nanoseconds() - MARGIN_NS, 1_000_000_000)
        return f"{seconds}.{fraction:09d}"

    @property
    def horizon(self) -> str:
        """Time stamps after this one are never before the resume point in the engine's file."""
        return clock.rfc3339(self._nanoseconds() + MARGIN_NS)

    def _nanoseconds(self) -> int:
        return clock.nanoseconds(self.line.timestamp)


def after(point: ResumePoint | None, lines: Sequence[Line]) -> ResumePoint | None:
    """The resume point when ``lines`` were published too."""
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
    """Leaves out what was published before, up to and including the resume point.

    Without a resume point everything is new.  When the resume point turns out to be gone,
    for instance rotated away, so is everything before it, and what the engine
    still has is new: ``lost`` says so, and ``release`` gives what was held.
    """

    def __init__(self, point: ResumePoint | None) -> None:
        self.joined = point is None
        self.lost = False
        self._point = point
        self._horizon = point.horizon if point else ""
        self._met = 0
        self._later = 0
        self._held: deque[Line] = deque(maxlen=2 * _HELD)

    def feed(self, lines: list[Line]) -> list[Line]:
        """What of ``lines`` is new; nothing while that is not known."""
        if self.joined:
            return lines
        for index, line in enumerate(lines):
            if self._meet(line):
                return lines[index + 1 :]
            if grown := self._grown(line):
                return [grown, *lines[index + 1 :]]
        return []

    def release(self) -> list[Line]:
        """The resume point will not come: what was held and is younger than it is new.

        A stream that broke before it came to the resume point looks the same, so what
        is older stays out: no line is published twice.
        """
        assert self._point is not None
        self.joined = True
        held, self._held = self._held, deque()
        return [line for line in held if line.timestamp > self._point.line.timestamp]

    def _meet(self, line: Line) -> bool:
        """Look at one more line; whether it is the last published one."""
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
        """The line that the engine glued to the resume point, if it did.

        A terminal's last line, say a prompt, has no end when its container
        ends.  It was published nevertheless, and after the container's next
        start the engine's unframed stream goes on right behind it.
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
