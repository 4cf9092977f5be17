"""Keep the log of a container that is about to be removed.

The log is read backwards, so the newest lines are kept if there are too many of them, too
little time, or damage further back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from mist import heartbeat
from mist.errors import EngineError, MistError
from mist.paths import PathHider, Paths
from mist.settings import Settings
from workers import kept_logs
from workers.deployment.bounds import Bounds
from workers.deployment.errors import DiskNearlyFull, words
from workers.deployment.job import Job
from workers.deployment.report import Report
from workers.engine import EngineRefused
from workers.reader.backwards import Backwards
from workers.reader.entries import Entry
from workers.reader.source import EngineLog, LogBroken, OutOfTime, failure_text
from workers.references import Inspection

log = structlog.get_logger(__name__)

# A runner has more memory than a reader.  Few and large windows, because the engine looks for
# the beginning of each from the end of the log, and unpacks compressed files every time.
_WINDOW_BYTES: Final = 33_554_432
_FIRST_LINES: Final = 30_000


class Keeper:
    """Keeps the log of the container that a deployment replaces; ``check`` may end it."""

    def __init__(
        self,
        settings: Settings,
        paths: Paths,
        app_id: int,
        deployment: int,
        check: Callable[[], None],
    ) -> None:
        self.lines = 0
        """The number of lines that were kept."""
        self.left_out = ""
        """The reason why older lines were left out; empty if there are none."""
        self._settings = settings
        self._paths = paths
        self._app_id = app_id
        self._deployment = deployment
        self._check = check
        self._room = settings.deployments.kept_log_bytes

    def keep(self, old: Inspection) -> None:
        """Write the file; raise EngineError or OSError if nothing can be kept."""
        source = _TimedLog(self._settings, old, self._check)
        newest_first = self._newest_first(Backwards(source, _WINDOW_BYTES, _FIRST_LINES))
        first = next(newest_first, None)
        if first is None:
            return
        writer = kept_logs.Writer(self._path)
        try:
            writer.add(first)
            self.lines = len(first)
            for segment in newest_first:
                writer.add(segment)
                self.lines += len(segment)
            self._discard_earlier(old["Id"])
            with heartbeat.blocking(self._settings.deployments.kept_log_seconds):  # fsync(2)
                writer.finish(kept_logs.About(old["Id"], source.tty))
        except BaseException:
            writer.discard()
            raise

    def text(self) -> str:
        """Return a line for the deployment's log."""
        if not self.lines and not self.left_out:
            return "The previous container has no log to keep"
        if self.left_out:
            return (
                f"Kept the newest {self.lines} lines of the previous container's log; "
                f"older ones are left out: {self.left_out}"
            )
        return f"Kept the log of the previous container: {self.lines} lines"

    @property
    def _path(self) -> Path:
        return self._paths.kept_log(self._app_id, self._deployment)

    def _newest_first(self, windows: Backwards) -> Iterator[list[Entry]]:
        """Yield the newest segment first; the lines of each are the oldest first."""
        held: list[Entry] = []
        size = 0
        for entry in self._entries(windows):
            held.append(entry)
            size += len(entry[2]) + kept_logs.LINE_BYTES
            if size >= kept_logs.SEGMENT_BYTES:
                yield held[::-1]
                held, size = [], 0
        if held:
            yield held[::-1]

    def _entries(self, windows: Backwards) -> Iterator[Entry]:
        """Yield the lines for which there is room, the newest first."""
        seen = False
        try:
            for window in windows:
                for entry in reversed(window):
                    self._room -= len(entry[2]) + kept_logs.LINE_BYTES
                    if self._room < 0:
                        limit = self._settings.deployments.kept_log_bytes
                        self.left_out = f"it exceeds {limit} bytes (deployments.kept_log_bytes)"
                        return
                    seen = True
                    yield entry
        except EngineError as error:
            if not seen:
                raise
            self.left_out = failure_text(error)

    def _discard_earlier(self, container: str) -> None:
        """Discard what an undone deployment may have kept of the same container."""
        for deployment in kept_logs.deployments_of(self._paths, self._app_id):
            with suppress(kept_logs.Damaged):
                kept = kept_logs.KeptLog(self._paths.kept_log(self._app_id, deployment), deployment)
                kept.close()
                if kept.about.container == container:
                    kept_logs.discard(self._paths, self._app_id, deployment)


class ReportingKeeper:
    """Keeps a log and says in the deployment's log how that went."""

    def __init__(
        self, job: Job, settings: Settings, report: Report, bounds: Bounds, hide: PathHider
    ) -> None:
        self._job = job
        self._settings = settings
        self._report = report
        self._bounds = bounds
        self._hide = hide

    def keep(self, old: Inspection, check: Callable[[], None]) -> None:
        """Keep the log of ``old``; only what ``check`` raises is raised."""
        app, deployment, _, paths = self._job
        keeper = Keeper(self._settings, paths, app.id, deployment.id, check)
        try:
            self._bounds.check_free()
            keeper.keep(old)
        except EngineError as error:
            problem = reason(error)
        except (OSError, DiskNearlyFull) as error:
            problem = self._hide(words(error))
        except MistError:
            raise  # cancelled, or the service stops
        except Exception as error:
            log.exception("log_not_kept")
            problem = f"internal error: {type(error).__name__}: {error}"
        else:
            self._report.line(keeper.text())
            return
        self._report.line(f"The previous container's log is not kept: {problem}", stream="stderr")


class _TimedLog(EngineLog):
    """A log that has to be read within ``deployments.kept_log_seconds``."""

    def __init__(
        self, settings: Settings, inspection: Inspection, check: Callable[[], None]
    ) -> None:
        super().__init__(settings, inspection)
        self._seconds = settings.deployments.kept_log_seconds
        self._end = time.monotonic() + self._seconds
        self._check = check

    def check_time(self) -> None:
        """Raise OutOfTime, or what ``check`` raises."""
        self._check()
        if time.monotonic() > self._end:
            raise OutOfTime(f"it took {self._seconds:g} seconds (deployments.kept_log_seconds)")


def reason(error: EngineError) -> str:
    """Return why a log cannot be kept, in words for the deployment's viewers."""
    if isinstance(error, EngineRefused) and error.status == 404:
        return "the container was removed"
    return str(error) if isinstance(error, LogBroken) else failure_text(error)
