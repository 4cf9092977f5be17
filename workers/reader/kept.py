"""The lines of the containers that an application's deployments have replaced.

They come before those of the present container.  Segments without a line of the range are
not unpacked.  A damaged file or segment is left out, and ``failure`` says so at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from typing import NamedTuple, Protocol

from mist import heartbeat
from mist.paths import Paths
from mist.read_request import ReadRequest
from workers.kept_logs import Damaged, KeptLog, Member, deployments_of
from workers.reader.entries import Entry


class Batch(NamedTuple):
    """Lines of one container."""

    entries: list[Entry]
    tty: bool


class OlderLines(Protocol):
    """Lines that come before those of a container."""

    @property
    def failure(self) -> str:
        """The newest problem; empty if every line of the range could be read."""

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
        self._until = request.until or "~"  # after every time stamp
        self._present = present
        self._check = check

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
            for member in log.members[::step]:
                if member.segment.last >= self._since and member.segment.first < self._until:
                    yield log, member

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
        if member.segment.first >= self._since and member.segment.last < self._until:
            return entries
        since, until = self._since.encode(), self._until.encode()
        return [entry for entry in entries if since <= entry[0] < until]


def _place(log: KeptLog, member: Member) -> str:
    return f"{log.deployment}/{member.info.filename}"
