"""The lines of the containers that an application's deployments have replaced.

They come before those of the present container.  Segments without a line of the range are
not unpacked.  A damaged file or segment is left out, and ``failure`` says so at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from typing import Final, NamedTuple, Protocol

from mist import heartbeat
from mist.paths import Paths
from mist.read_request import ReadRequest
from workers.kept_logs import Damaged, KeptLog, Member, deployments_of
from workers.reader.entries import Entry

_NEVER: Final = "~"  # after every time stamp


class Batch(NamedTuple):
    """Lines of one container."""

    entries: list[Entry]
    tty: bool


class OlderLines(Protocol):
    """Lines that come before those of a container."""

    @property
    def failure(self) -> str:
        """The newest problem; empty if every line of the range could be read."""

    def join(self, *, newer_begun: bool) -> bool:
        """Make the range one piece of the log; return True if it begins in these lines.

        ``newer_begun`` says that it ends in a newer container, so ``until`` limits none of these.
        """

    def forwards(self) -> Iterator[Batch]:
        """Yield the lines of the range, the oldest first."""

    def backwards(self) -> Iterator[Batch]:
        """Yield the lines of the range, the newest first."""

    def last(self, count: int) -> Iterator[Batch]:
        """Yield the last ``count`` lines of the range, the oldest first."""


class KeptLines:
    """The kept logs of an application, except for those of containers that still exist."""

    def __init__(
        self,
        paths: Paths,
        request: ReadRequest,
        present: Collection[str],
        check: Callable[[], None],
    ) -> None:
        self.failure = ""
        """The newest problem; empty if every line of the range could be read."""
        self._paths = paths
        self._app_id = request.app_id
        self._since = request.since or ""
        self._until = request.until or _NEVER
        self._present = present
        self._check = check
        # The deployments whose logs the range begins and ends in; None if each line counts.
        self._begin: int | None = None
        self._end: int | None = None

    def join(self, *, newer_begun: bool) -> bool:
        """Make the range one piece of the log; return True if it begins in these lines."""
        if newer_begun:
            self._until = _NEVER
        self._begin = next(
            (log.deployment for log in self._logs(1) if log.last >= self._since), None
        )
        self._end = next(
            (log.deployment for log in self._logs(-1) if log.first < self._until), None
        )
        return self._begin is not None

    def forwards(self) -> Iterator[Batch]:
        """Yield the lines of the range, the oldest first."""
        for log, member in self._segments(1):
            yield Batch(self._read(log, member), log.about.tty)

    def backwards(self) -> Iterator[Batch]:
        """Yield the lines of the range, the newest first."""
        for log, member in self._segments(-1):
            yield Batch(self._read(log, member)[::-1], log.about.tty)

    def last(self, count: int) -> Iterator[Batch]:
        """Yield the last ``count`` lines of the range, the oldest first."""
        missing, begin = count, ""
        for log, member in self._segments(-1) if count > 0 else ():
            missing -= len(self._read(log, member))
            begin = _place(log, member)
            yield Batch([], log.about.tty)
            if missing <= 0:
                break
        surplus = max(0, -missing)
        for log, member in self._segments(1) if begin else ():
            if begin == _place(log, member):
                begin = ""
            if not begin:
                yield Batch(self._read(log, member)[surplus:], log.about.tty)
                surplus = 0

    def _segments(self, step: int) -> Iterator[tuple[KeptLog, Member]]:
        """Yield the segments with lines of the range; with a step of -1 the newest first."""
        for log in self._logs(step):
            since, until = self._range(log)
            for member in log.members[::step]:
                if member.segment.last >= since and member.segment.first < until:
                    yield log, member

    def _range(self, log: KeptLog) -> tuple[str, str]:
        """Return the times between which lines of a log are in the range."""
        begun = self._begin is not None and self._begin < log.deployment
        goes_on = self._end is not None and log.deployment < self._end
        return "" if begun else self._since, _NEVER if goes_on else self._until

    def _logs(self, step: int) -> Iterator[KeptLog]:
        """Yield each log, open; in their order or, with a step of -1, the newest first."""
        if self._app_id is None:
            return
        for deployment in list(deployments_of(self._paths, self._app_id))[::step]:
            try:
                log = KeptLog(self._paths.kept_log(self._app_id, deployment), deployment)
            except Damaged as error:
                self.failure = str(error)
                continue
            with closing(log):
                # A deployment that is being undone may have kept the log of the old container.
                if log.about.container not in self._present:
                    yield log

    def _read(self, log: KeptLog, member: Member) -> list[Entry]:
        heartbeat.beat()
        self._check()
        try:
            entries = log.read(member)
        except Damaged as error:
            self.failure = str(error)
            return []
        first, end = self._range(log)
        if member.segment.first >= first and member.segment.last < end:
            return entries
        since, until = first.encode(), end.encode()
        return [entry for entry in entries if since <= entry[0] < until]


def _place(log: KeptLog, member: Member) -> str:
    return f"{log.deployment}/{member.info.filename}"
