"""Replace an application's container in the last two stages of a deployment, or undo it.

The new container is started first where both can run; then the application is not
interrupted.  Otherwise the log says for how long it was away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import requests
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound

from mist.deployments.records import STARTING, STOPPING
from mist.errors import EngineError
from mist.settings import Settings
from workers import kept_logs
from workers.deployment.cancellation import CancellationToken
from workers.deployment.client import RETRY_SECONDS, connect
from workers.deployment.containers import Swap
from workers.deployment.errors import (
    Cancelled,
    DidNotStay,
    Interrupted,
    LogFailed,
    UndoPending,
    words,
)
from workers.deployment.job import Job
from workers.deployment.keeping import ReportingKeeper
from workers.deployment.report import Report

_STOPPING_LAST: Final = "New container is up, stopping the previous one..."


class Replacement:
    """The replacement of an application's container by one deployment."""

    def __init__(
        self,
        job: Job,
        settings: Settings,
        report: Report,
        cancellation: CancellationToken,
        keeper: ReportingKeeper,
    ) -> None:
        self._app, self._deployment, self._store, self._paths = job
        self._settings = settings
        self._limits = settings.deployments
        self._report = report
        self._cancellation = cancellation
        self._keeper = keeper

    def check(self, client: APIClient) -> None:
        """Raise NotReplaceable or NoSuchNetwork if the container cannot be replaced."""
        self._swap(client).check()

    def run(self, client: APIClient, image: str) -> None:
        """Replace the container; raise an error if that fails, with everything to be undone."""
        swap = self._swap(client)
        self._report.enter(STOPPING, "Creating the new container...")
        swap.prepare(image)
        self._report.line(*swap.notes)
        # The last check before the application may be interrupted.
        self._cancellation.check()
        if swap.new_first:
            self._new_first(swap)
        else:
            self._old_first(swap)
        swap.commit()

    def _new_first(self, swap: Swap) -> None:
        self._report.line("The previous container keeps running until the new one is healthy")
        self._start(swap)
        self._report.progress(0.7, "Handing over to the new container...")
        # An error here undoes the deployment: without the aliases, or a network that it has
        # left to join again with them, the new container cannot take over.
        self._report.line(*swap.take_aliases())
        took_over = self._take_over(swap)
        self._keep_log(swap, self._cancellation.check, stopped=False)
        # The last chance to cancel, because the old container would have to be started again.
        self._cancellation.check()
        swap.set_policy()
        self._report.progress(1, _STOPPING_LAST)
        stopped = time.monotonic()
        swap.stop_old()
        if not took_over:
            swap.take_over()
            self._say_away(time.monotonic() - stopped)
        try:
            self._keep_log(swap, self._check_stop, stopped=True)
        except Interrupted as error:
            text = f"The previous container's log is not kept: {error}"
            self._report.line(text, stream="stderr")

    def _take_over(self, swap: Swap) -> bool:
        """Give the name to the new container; return False if the old one has to stop first."""
        try:
            both_ran = swap.take_over()
        except APIError as error:
            if not swap.has_to_stop_old(error):
                raise
            self._report.line(f"The previous container is stopped first: {words(error)}")
            return False
        gap = "without a gap" if both_ran else "from one that another program has stopped"
        self._report.line(f"The new container has taken over {gap}")
        if both_ran:
            swap.drain(self._cancellation)
        return True

    def _say_away(self, seconds: float) -> None:
        self._report.line(f"The application was away for {seconds:.1f} s")

    def _old_first(self, swap: Swap) -> None:
        if swap.old_runs:
            self._report.line(f"The previous container is stopped first: {swap.obstacle}")
        self._keep_log(swap, self._cancellation.check, stopped=False)
        self._report.progress(0.5, "Stopping previous container...")
        stopped = time.monotonic()
        swap.stop_old()
        # A deployment cancelled during the stop must not start its container.
        self._cancellation.check()
        started = self._start(swap)
        if swap.old_runs:
            self._say_away(started - stopped)
        self._report.progress(1, "New container is up")
        self._keep_log(swap, self._cancellation.check, stopped=True)
        # The last chance to cancel; commit() cannot be undone.
        self._cancellation.check()

    def _start(self, swap: Swap) -> float:
        """Start the new container and watch it; return the time from which it serves."""
        self._report.enter(STARTING, "Starting new container...")
        try:
            swap.start_new()
            started = time.monotonic()
            wanted = "be healthy" if swap.checks_health else "stay up"
            self._report.progress(0.5, f"Waiting for the new container to {wanted}...")
            swap.watch(self._cancellation)
        except (DidNotStay, APIError):
            lines = swap.last_lines()
            if lines:
                self._report.line("The new container's last lines:", *lines, stream="stderr")
            raise
        return time.monotonic() if swap.checks_health else started

    def _swap(self, client: APIClient) -> Swap:
        return Swap(client, self._settings, self._store, self._app, self._deployment)

    def _check_stop(self) -> None:
        """Raise Interrupted; it is too late to cancel."""
        with suppress(Cancelled):
            self._cancellation.check()

    def _keep_log(self, swap: Swap, check: Callable[[], None], *, stopped: bool) -> None:
        """Keep the log of the old container: once it has stopped, unless it is removed then."""
        if swap.old is None or not self._limits.kept_log_bytes:
            return
        if stopped != swap.old_removes_itself:
            self._keeper.keep(swap.old, check)
            if not stopped:
                self._report.line("It ran with --rm: what it writes from now on is not kept")

    def undo(self, reason: str) -> tuple[bool, str]:
        """Restore the old container.

        Return True if it is back, and the problem in words, or an empty string.  If it is not
        back and there is no problem, the deployment has succeeded.  Raise UndoPending with
        ``reason`` if the engine stays away.
        """
        if not self._report.touches_containers:
            return True, ""
        # The engine may be restarting, and answer with errors at first.
        deadline = time.monotonic() + self._limits.recovery_seconds
        while True:
            try:
                swap = self._swap(connect(self._settings))
                undone = swap.undo(stopping=self._report.stops_old)
                named = undone or swap.has_name()
            except (EngineError, DockerException, requests.RequestException) as error:
                refused = isinstance(error, APIError) and error.is_client_error()
                # Another program has removed a container, or the engine is shutting down.
                refused = refused and not isinstance(error, NotFound)
                if time.monotonic() < deadline and not (self._cancellation.stopping or refused):
                    time.sleep(RETRY_SECONDS)
                    continue
                # An engine that answers may refuse for ever; one that does not will be back.
                if not isinstance(error, APIError):
                    raise UndoPending(reason) from None
                return False, f"the previous container could not be brought back: {words(error)}"
            if undone:  # the old container still has its log
                with suppress(OSError):
                    kept_logs.discard(self._paths, self._app.id, self._deployment.id)
            # The containers are restored even if the log cannot be written.
            with suppress(LogFailed):
                self._report.line(*swap.notes)
            if undone or (named and self._report.stayed_up):
                return undone, ""
            name = "" if named else f", without the name {self._app.container}"
            return False, f"the previous container is gone, the new one stays{name}"
