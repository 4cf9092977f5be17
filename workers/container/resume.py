"""Resume in a log after the last published line, without I/O.

The *resume point* is the last published line.  It is found by its identity: its time
stamp, stream and text.  The order of the engine's file decides: lines after the resume
point are new, lines before it are not.  Their time stamps prove nothing, because lines of
stdout and stderr may be slightly out of order, and a clock may be set back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from workers.container.frames import Line, unstamped

_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) ")


class ResumePoint(msgspec.Struct, frozen=True):
    """The last published line, and how many times in a row it was published."""

    line: Line
    repeats: int = 1


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

    Without a resume point every line is new.
    """

    def __init__(self, point: ResumePoint | None) -> None:
        self.joined = point is None
        """The resume point was passed; every further line is new."""
        self._point = point
        self._met = 0  # identical lines at the resume point

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

    def _meet(self, line: Line) -> bool:
        """Take one more line; return True if it is the last published one."""
        assert self._point is not None
        known = self._point.line
        self._met += line == known or _is_rest(line, known)
        self.joined = self._met == self._point.repeats
        return self.joined

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


def _is_rest(line: Line, known: Line) -> bool:
    """Return True if ``line`` is the end of ``known``: a stream may begin within a line."""
    same = (line.timestamp, line.stream) == (known.timestamp, known.stream)
    return same and len(line.text) < len(known.text) and known.text.endswith(line.text)
