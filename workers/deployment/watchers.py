"""Pass the output and the progress of Git and of a build on to the deployment's report."""

from __future__ import annotations

from typing import Final

from mist.paths import PathHider
from workers.deployment.report import Report

# A clone reports its progress in steps of this many percent.
_PERCENT_STEP: Final = 10


class CloneWatcher:
    """Passes Git's output on, without the paths of the service."""

    def __init__(self, report: Report, hide: PathHider) -> None:
        self._report = report
        self._hide = hide
        self._shown = 0

    def lines(self, texts: list[str]) -> None:
        """Write Git's lines to the log."""
        self._report.line(*map(self._hide, texts))

    def percent(self, number: int) -> None:
        """Report the progress of the clone, in steps."""
        if number >= self._shown + _PERCENT_STEP:
            self._shown = number
            self._report.progress(number / 100, f"Cloning Git repository... {number} %")


class BuildWatcher:
    """Passes the build's output and steps on to the report."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def lines(self, texts: list[str]) -> None:
        """Write the build's lines to the log."""
        self._report.line(*texts)

    def step(self, number: int, count: int) -> None:
        """Report that a step of the Dockerfile begins."""
        # A step is reported when it begins, so the ones before it are done.
        share = min(1.0, (number - 1) / max(1, count))
        self._report.progress(share, f"Building Docker image... step {number} of {count}")
