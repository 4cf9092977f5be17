"""Continue the numbering of a predecessor that died together with the broker.

Its claim says which line had the last number.  The engine's log is read from some lines
before that one.  They get the numbers that they had, and the lines after it the next ones.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

import structlog

from bus.wire import Flag
from mist.errors import ContainerNotFound, EngineError, LogNotReadable
from mist.settings import Settings
from workers.container.claims import Claim, LineMark, marked
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.publisher import LogPublisher
from workers.container.resume import ResumePoint
from workers.container.stream import LogSource

log = structlog.get_logger(__name__)

# The factor by which the number of requested entries grows while the line is not found.
_DEEPER: Final = 8

# If all web workers are restarted, their clients come back within so many seconds, and
# continue from their positions.  Later nobody is expected to.
_BRIEF_SECONDS: Final = 5.0

# The time that subscribers of an old broker get to reconnect to the new one.
_RETURN_SECONDS: Final = 0.25
# Those of them that are late, on a busy machine, before they would lose new lines.
_LATE_SECONDS: Final = 0.5


def continue_numbering(
    source: LogSource, container: Container, out: LogPublisher, settings: Settings
) -> bool:
    """Publish the history of a claim and everything after it.

    Return False, and begin a new epoch, if the log cannot be joined to the claim.
    """
    if not out.claims.inherited:
        return False
    claim = out.claims.claim
    # Of a container that was replaced meanwhile, the rest comes first.
    left = container
    if claim.container and claim.container != container.id:
        left = container._replace(id=claim.container, running=False)
    age = time.monotonic() - claim.written
    patience = settings.collector.recall_seconds if out.awaited else _BRIEF_SECONDS
    recent = 0 <= age < patience
    found = _read(source, left, claim, settings, recent=recent)
    try:
        known = next(found, None)
    except ContainerNotFound:
        known = None
    if known is None:
        log.info("numbering_not_continued", container=left.id[:12])
        out.begin()
        return False
    point = ResumePoint(known[-1], claim.line.repeats) if claim.line else None
    # Subscribers have to be back before the broker forgets what they lack.  Nearly all of
    # them have the known lines, so the pause among the new ones is the longer one.
    Rest(out, settings.replay.lines).before(len(known))
    out.republish(known, point)
    rest = Rest(out, settings.replay.lines, _LATE_SECONDS)
    try:
        for lines in found:
            rest.before(len(lines))
            out.lines(lines, Flag.HISTORY)
    except (ContainerNotFound, LogNotReadable):
        # Without a line of the one that was replaced, its log had not been asked for before.
        if left is container:
            raise
    if left is not container:
        out.change_container(left.id, container.id)
    return True


class Rest:
    """A pause before more lines are sent than the broker remembers."""

    def __init__(
        self, out: LogPublisher, remembered: int, seconds: float = _RETURN_SECONDS
    ) -> None:
        self._out = out
        self._room = remembered
        self._seconds = seconds

    def before(self, lines: int) -> None:
        """Pause if ``lines`` are too many; once is enough."""
        if self._room >= 0:
            self._room -= lines
            if self._room < 0:
                self._out.idle(self._seconds)


def _read(
    source: LogSource, container: Container, claim: Claim, settings: Settings, *, recent: bool
) -> Iterator[list[Line]]:
    """Yield the lines up to the claim's, and then those after it; nothing if it is gone."""
    if claim.line is None:
        # Nothing of this container was published yet, so everything is new.  An unknown
        # container means that not even the first history was complete.
        if recent and claim.container:
            yield []
            with source.history(container, None, None) as stream:
                yield from stream.all()
        return
    for tail in _tails(claim, settings, recent=recent):
        with source.history(container, None, tail) as stream:
            lines = stream.all()
            search = Search(claim.line, known_lines(claim, settings), settings.replay.bytes)
            for some in lines:
                rest = search.feed(some)
                if rest is not None:
                    yield list(search.lines)
                    yield rest
                    yield from lines
                    break
        if stream.failure:
            raise EngineError(stream.failure)
        # Fewer entries than requested: there are no more.
        if search.found or stream.entries < tail:
            return


def known_lines(claim: Claim, settings: Settings) -> int:
    """Return how many lines before the claim's to publish again."""
    # At least what a new client may ask for, and for subscribers that are behind what a web
    # worker keeps at most.
    behind = min(claim.seq - claim.behind, settings.streams.ring_lines)
    return max(settings.replay.lines, behind)


def _tails(claim: Claim, settings: Settings, *, recent: bool) -> Iterator[int]:
    """Yield the numbers of entries among which to look for the claim's line."""
    tail = settings.replay.lines + 1
    if not recent:
        # No subscriber waits for the lines in between.
        yield tail
        return
    missed = claim.rate * (time.monotonic() - claim.written)
    tail = known_lines(claim, settings) + 1 + int(1.5 * missed)
    most = settings.collector.recall_lines
    while tail < most:
        yield tail
        tail *= _DEEPER
    yield most


class Search:
    """A search for the last published line, without I/O.

    ``lines`` are those up to it, bounded in number and in bytes of text.
    """

    def __init__(self, mark: LineMark, most: int, most_bytes: int) -> None:
        self.lines: deque[Line] = deque()
        self.found = False
        self._mark = mark
        self._most = most
        self._most_bytes = most_bytes
        self._size = 0
        self._met = 0

    def feed(self, lines: list[Line]) -> list[Line] | None:
        """Take more lines.  Return those after the last published one once it was found."""
        for index, line in enumerate(lines):
            self._keep(line)
            # Most lines differ in their time, which spares the digest.
            if line.timestamp == self._mark.timestamp and self._is_marked(line):
                self._met += 1
                if self._met == self._mark.repeats:
                    self.found = True
                    return list(islice(lines, index + 1, None))
        return None

    def _is_marked(self, line: Line) -> bool:
        found = marked(ResumePoint(line, self._mark.repeats))
        return found == self._mark

    def _keep(self, line: Line) -> None:
        self.lines.append(line)
        self._size += len(line.text)
        while len(self.lines) > self._most or (
            self._size > self._most_bytes and len(self.lines) > 1
        ):
            self._size -= len(self.lines.popleft().text)
