"""Remove from the engine what deployments no longer need: old images and broken builds.

A build that breaks off because the engine goes away leaves images and a container that only
the log of its deployment names.  A file next to the log says that they are still there, so
that a later deployment, of whatever application, can remove them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import requests
import structlog
from docker import APIClient
from docker.errors import DockerException

from mist.deployments.records import records_of, text_of
from mist.errors import EngineError
from mist.settings import Settings
from workers.deployment import images, leftovers
from workers.deployment.cancellation import CancellationToken
from workers.deployment.client import RETRY_SECONDS, connect
from workers.deployment.errors import words
from workers.deployment.job import Job

log = structlog.get_logger(__name__)

_SUFFIX: Final = ".leftovers"


class Cleanup:
    """The end of a deployment; a failure here does not fail the deployment."""

    def __init__(self, job: Job, settings: Settings, cancellation: CancellationToken) -> None:
        self._job = job
        self._settings = settings
        self._limits = settings.deployments
        self._cancellation = cancellation
        self._images = images.Images(job.store, job.app.id)

    def run(self, *, failed: bool, broke_off: bool) -> None:
        """Remove old images, and what broken builds have left.

        Wait for an engine that is away, or that still ends the build, if this deployment's
        build has broken off.  What remains then is left to the next deployment.
        """
        left = broke_off and self._mark()
        deadline = time.monotonic() + self._limits.recovery_seconds
        while reason := self._attempt(failed=failed):
            if not left or self._cancellation.stopping or time.monotonic() > deadline:
                log.warning("image_cleanup_failed", reason=reason)
                return
            time.sleep(RETRY_SECONDS)

    def _mark(self) -> bool:
        """Record that this deployment's build has left something; return False if it has not."""
        path = self._job.paths.deployment_log(self._job.deployment.id)
        found = leftovers.named_in(_lines(path))
        if not found.images + found.containers:
            return False
        path.with_suffix(_SUFFIX).touch()
        return True

    def _attempt(self, *, failed: bool) -> str:
        """Remove everything; return why that is not possible yet, or an empty string."""
        number = self._job.deployment.id
        try:
            client = connect(self._settings)
            if failed:
                images.forget(client, self._images.tag(number))
            marks = self._job.paths.deployment_log(number).parent.glob(f"[0-9]*{_SUFFIX}")
            left = [mark for mark in marks if not self._remove(client, mark)]
            self._images.prune(client, self._limits.keep_images)
        except (EngineError, DockerException, requests.RequestException, OSError) as error:
            return words(error)
        return "a build that broke off is still in use" if left else ""

    def _remove(self, client: APIClient, mark: Path) -> bool:
        """Remove what a build has left; return True if nothing is left of it."""
        row = self._job.store.deployments.get(int(mark.stem))
        if row is not None:  # otherwise its application was removed, and the log with it
            found = leftovers.named_in(_lines(self._job.paths.deployment_log(row.id)))
            if not leftovers.remove(client, found, row.created_at):
                return False
        mark.unlink(missing_ok=True)
        return True


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a deployment's log."""
    for record in records_of(path):
        if (text := text_of(record)) is not None:
            yield text
