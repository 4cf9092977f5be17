"""gunicorn's master, changed to tell a worker that cannot start from one that crashed.

gunicorn's own master trusts a worker as soon as it is forked.  Here a worker reports
when it serves.  Until then the service is not ready, a reload keeps the old workers,
and no further worker is started, because it would fail for the same reason.

A worker that ends unexpectedly is replaced after a growing delay.  The service ends,
with the reason, if no worker serves and none can be started.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from typing import Any, Final

import structlog
from gunicorn import sock
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from prometheus_client.multiprocess import mark_process_dead

from api import monitoring
from api.server.accept_balance import release
from api.server.attempts import Attempts, explain_end, explain_hanging
from api.server.worker import MistWorker
from api.server.worker_status import Failure
from mist.addresses import await_port, check_port
from mist.errors import Exit, MistError
from mist.notify import Notifier
from mist.settings import load_settings

log = structlog.get_logger(__name__)

# How often the master checks whether a starting worker is serving, in seconds.
_LOOK_SECONDS: Final = 0.05


# A turn of the master's loop that is later than this was held up; it waits for up to a second.
_LATE_SECONDS: Final = 2.0


class WebTierEnded(MistError):
    """No worker is serving, and none can be started."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.exit_status = Exit(status)


class Master(Arbiter):  # type: ignore[misc] # gunicorn has no types
    """Start the workers, replace them on a reload, and end the service if none can run."""

    LISTENERS: list[Any]
    WORKERS: dict[int, MistWorker]
    num_workers: int
    reexec_pid: int

    def __init__(self, app: Any, notifier: Notifier) -> None:
        self._notifier = notifier
        self._generation = 0  # counts reloads; a worker of an older one is replaced
        self._served = False  # READY=1 is sent once
        self._refused = ""
        self._stopping = False
        self._since = self._looked_at = time.monotonic()
        super().__init__(app)

    def setup(self, app: Any) -> None:
        """Apply the settings, at the start and on a reload."""
        super().setup(app)
        self._settings = load_settings()
        self._begin()

    def start(self) -> None:
        """Bind the addresses; raise CannotListen if that fails."""
        # Inherited sockets (systemd, or gunicorn's own upgrade) are already bound.
        if not {"LISTEN_FDS", "GUNICORN_FD"} & os.environ.keys():
            for bind in _tcp(self.cfg.bind):
                await_port(bind)
        super().start()
        self._begin()

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait for a signal, but no longer than until the next action is due."""
        self._notifier.watchdog()  # once per turn of the loop
        timeout = min(timeout, self._notifier.watchdog_seconds or timeout)
        if any(not worker.status.serves for worker in self.WORKERS.values()):
            timeout = _LOOK_SECONDS
        elif self._attempts.due > (now := time.monotonic()):
            timeout = min(timeout, self._attempts.due - now)
        signals: list[int] = super().wait_for_signals(timeout)
        return signals

    def manage_workers(self) -> None:
        """Start missing workers and end replaced ones."""
        new, old = self._workers()
        serving = sum(worker.status.serves for worker in new)
        self._announce(serving)
        # One worker first: if it cannot start, the others would fail in the same way.
        for _ in range((self.num_workers if serving else 1) - len(new)):
            if time.monotonic() >= self._attempts.due:
                self._spawn()
        if serving:
            for worker in old[: max(0, serving + len(old) - self.num_workers)]:
                worker.status.note_replaced()  # so it closes its streams with 1012
                self._dismiss(worker)
        # A SIGTTOU has reduced the number of workers.
        for worker in new[: max(0, len(new) - self.num_workers)]:
            self._dismiss(worker)

    def murder_workers(self) -> None:
        """Kill workers that hang, whether they are serving or still starting."""
        now = time.monotonic()
        if now > self._looked_at + _LATE_SECONDS:
            self._since = now  # this loop stood still itself: what it did not see does not count
        for pid, worker in list(self.WORKERS.items()):
            if not worker.status.serves and not worker.dismissed:
                worker.tmp.notify()  # its own heartbeat has not started yet
                if now > worker.forked_at + self._settings.server.start_seconds:
                    worker.hung = True
                    self.kill_worker(pid, signal.SIGKILL)
            elif worker.status.serves and self._silence(worker, now) > self._patience:
                log.error("web_worker_hung", pid=pid, seconds=round(self._silence(worker, now), 1))
                self.kill_worker(pid, signal.SIGKILL)
        self._looked_at = now

    def reap_workers(self) -> None:
        """Handle every worker that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self.reexec_pid:  # a new master of an upgrade (SIGUSR2)
                self.reexec_pid = 0
            worker = self.WORKERS.pop(pid, None)
            if worker is not None:
                worker.tmp.close()
                release(worker.age)  # a killed worker cannot clear its row itself
                if monitoring.FOLDER in os.environ:
                    mark_process_dead(pid)  # type: ignore[no-untyped-call]
                self.cfg.child_exit(self, worker)
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def reload(self) -> None:
        """Replace the workers with the new settings; invalid settings change nothing."""
        before = self.app.cfg
        try:
            self.app.reload()
            # Only new addresses: this master itself holds the others.
            for bind in set(_tcp(self.app.cfg.bind)) - set(before.bind):
                check_port(bind)
        except MistError as error:
            self.app.cfg = before  # app.reload() may have replaced it
            self._refuse_reload(str(error))
            return
        self._refused = ""
        self.setup(self.app)
        self.log.reopen_files()
        if self.cfg.address != before.address:
            for listener in self.LISTENERS:
                listener.close()
            self.LISTENERS = sock.create_sockets(self.cfg, self.log)
        self.cfg.on_reload(self)
        self._generation += 1
        for worker in self._workers()[1]:
            # A starting worker has the old settings and no clients.
            if not worker.status.serves:
                self._dismiss(worker)
        self.manage_workers()

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers; their exit codes no longer matter."""
        self._stopping = True
        super().stop(graceful)

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """End the service; raise WebTierEnded unless it was asked to end."""
        try:
            super().halt(exit_status=exit_status)
        except SystemExit:
            if reason is None:
                raise
            raise WebTierEnded(reason, exit_status) from None

    # Internals

    def _begin(self) -> None:
        """Reset the record of failures."""
        self._attempts = Attempts(self._settings, self.num_workers, time.monotonic())

    @property
    def _patience(self) -> float:
        return self._settings.supervisor.hang_seconds

    def _silence(self, worker: MistWorker, now: float) -> float:
        """Return for how many seconds the loop of a worker has not turned."""
        return now - max(float(worker.tmp.last_update()), self._since)

    def _workers(self) -> tuple[list[MistWorker], list[MistWorker]]:
        """Return the workers with the current settings, and those to be replaced, oldest first."""
        there = sorted(
            (worker for worker in self.WORKERS.values() if not worker.dismissed),
            key=lambda worker: worker.age,
        )
        new = [worker for worker in there if worker.generation == self._generation]
        return new, [worker for worker in there if worker.generation != self._generation]

    def _announce(self, serving: int) -> None:
        if serving:
            self._attempts.note_serving(time.monotonic())
            if not self._served:
                self._served = True
                self._notifier.ready()
        self._notifier.status(f"{serving} of {self.num_workers} workers serve{self._refused}")

    def _spawn(self) -> None:
        try:
            pid = self.spawn_worker()
        except OSError as error:
            if os.getpid() != self.pid:
                raise  # in the forked child, which must not continue as a second master
            self._failed(Failure(Exit.FAILURE, f"cannot start a worker: {error.strerror}"))
        else:
            self.WORKERS[pid].generation = self._generation

    def _dismiss(self, worker: MistWorker) -> None:
        """End a worker; use SIGKILL while it starts, when it may lack its signal handlers."""
        worker.dismissed = True
        self.kill_worker(worker.pid, signal.SIGTERM if worker.status.serves else signal.SIGKILL)

    def _ended(self, worker: MistWorker, code: int) -> None:
        serves = worker.status.serves
        if self._stopping or worker.dismissed or (serves and code == 0):  # an intended end
            return
        if worker.hung:
            failure = explain_hanging(self._settings.server.start_seconds)
        else:
            failure = explain_end(worker.status, code)
        if worker.generation != self._generation:
            log.warning("replaced_worker_ended", reason=failure.reason)
            return
        if serves:
            self._attempts.note_serving(time.monotonic())
        self._failed(failure)

    def _failed(self, failure: Failure) -> None:
        """Schedule another worker after a delay, or give up."""
        self._attempts.note_failure(failure, now := time.monotonic())
        again = self._attempts.again
        if failure.traceback and not again:  # once; the same one would only fill the log
            log.error("web_worker_cannot_start", exception=failure.traceback)
        serving = any(worker.status.serves for worker in self._workers()[0])
        if not serving and self._attempts.hopeless(failure):
            self._give_up(failure)
            return
        reason = "the same as before" if again else failure.reason
        pause = round(self._attempts.due - now, 3)
        log.warning("web_worker_ended", reason=reason, next_in_seconds=pause)

    def _refuse_reload(self, reason: str) -> None:
        """Report in the log and in ``systemctl status`` that the reload changed nothing."""
        log.error("reload_failed", reason=reason)
        self._refused = f"; the last reload failed: {reason}"

    def _give_up(self, failure: Failure) -> None:
        """Keep the workers that were to be replaced, or end the service if there are none."""
        new, old = self._workers()
        if not old:
            what = "has ended" if self._served else "cannot start"
            times = self._attempts.failures
            failures = f" ({times} workers failed)" if times > 1 else ""
            raise HaltServer(f"the web tier {what}{failures}: {failure.reason}", failure.status)
        self._refuse_reload(failure.reason)
        for worker in new:
            self._dismiss(worker)
        for worker in old:
            worker.generation = self._generation  # not to be replaced any more
        # More could not be started; the next reload sets the number again.
        self.num_workers = len(old)
        self._begin()


def _tcp(binds: Iterable[str]) -> list[str]:
    """Return the addresses that are neither Unix sockets nor file descriptors."""
    return [bind for bind in binds if not bind.startswith(("unix:", "fd://"))]
