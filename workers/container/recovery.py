"""Read from a container's log what follows the last published line."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Final

import structlog

from mist.errors import ContainerNotFound, LogNotReadable
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.resume import ResumePoint
from workers.container.stream import LogSource, LogStream

log = structlog.get_logger(__name__)

# The numbers of entries, tried in turn, among which to look for the last published line:
# the engine reads a tail from the end, without scanning the whole log.  The whole log is
# read twice, because an answer that broke off looks like a log without the line.
DEPTHS: Final = (200, 10_000, 40_000, 160_000, 640_000, None, None)


class Recovery:
    """The lines of a log behind a resume point; iterate once.

    ``suspect`` is a line of a follow stream that may not be the next one.  ``resume``
    returns the last published line, which moves on as the lines are published.  ``near``
    means that time stamps show where that line is.
    """

    def __init__(
        self,
        source: LogSource,
        container: Container,
        resume: Callable[[], ResumePoint | None],
        *,
        suspect: Line | None = None,
        near: bool = True,
    ) -> None:
        self.gone = False
        """The log no longer holds the last published line."""
        self.ahead = False
        """Nor does it hold the suspect line: the stream reads a deleted file."""
        self.unfinished: list[str] = []
        """The keys of the lines at the end of the log that are not finished."""
        self._source = source
        self._container = container
        self._resume = resume
        self._suspect = suspect
        self._met = False  # the suspect line
        self._near = near and container.compressed

    def __iter__(self) -> Iterator[list[Line]]:
        """Yield the lines, in the order of the log."""
        try:
            if self._resume() is None:
                yield from self._read(None)
            elif not (yield from self._search()):
                yield from self._all_that_is_left()
        except (ContainerNotFound, LogNotReadable):
            # Removed, and its log with it; or the engine never kept one.
            self.ahead = self._suspect is not None

    def _search(self) -> Generator[list[Line], None, bool]:
        """Yield the lines behind the resume point; return False if it is gone."""
        if self._near:
            stream = yield from self._read(DEPTHS[0], near=True)
            # If the clock was set back, the engine leaves out lines that are new.
            if stream.joined and (self._suspect is None or self._met):
                return True
        smaller = False
        for tail in DEPTHS:
            if smaller and tail is not None:
                continue
            stream = yield from self._read(tail)
            # A damaged log cannot show that the line is gone.
            if stream.joined or (tail is None and stream.failure):
                return True
            smaller = tail is not None and stream.entries < tail // 2
        return False

    def _all_that_is_left(self) -> Generator[list[Line], None, None]:
        self.gone = True
        if self._suspect is not None and not self._holds(self._suspect):
            self.ahead = True
            return
        # A log with lines from before the last published one should still hold that one,
        # unless the clock was set back.  Whatever is wrong, nothing is published twice.
        point, known = self._resume(), None
        for lines in self._read(None, everything=True):
            if lines and point and known is None:
                last = point.line.timestamp
                known = last if lines[0].timestamp <= last else ""
            yield [line for line in lines if line.timestamp > known] if known else lines
        self.ahead = self._suspect is not None and self._suspect.timestamp <= (known or "")

    def _holds(self, wanted: Line) -> bool:
        with self._source.history(self._container, None, None) as stream:
            return any(wanted in lines for lines in stream.all())

    def _read(
        self, tail: int | None, *, near: bool = False, everything: bool = False
    ) -> Generator[list[Line], None, LogStream]:
        resume = None if everything else self._resume()
        with self._source.history(self._container, resume, tail, near=near) as stream:
            for lines in stream.all():
                self._met = self._met or self._suspect in lines
                yield lines
        if stream.failure:
            log.warning("log_incomplete", reason=stream.failure)
        self.unfinished = stream.unfinished
        return stream
