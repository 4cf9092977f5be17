"""gunicorn's master, which tells a worker that cannot start from one that has crashed.

gunicorn's own trusts a worker as soon as it is forked.  Here a worker says when it
serves, and until then the service is not ready, the workers that a reload replaces
go on, and no further worker is started, because it would fail for the same reason.

A worker that ends unasked is followed by another one after a growing pause.  The
service ends, with the reason, when no worker serves and none can be started.
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

import mist.settings
from api.attempts import Attempts, explain_end, explain_hanging
from api.websocket.balance import release
from api.websocket.worker import MistWorker
from api.worker_status import Failure
from mist.addresses import await_port, check_port
from mist.errors import Exit, MistError
from mist.notify import Notifier

log = structlog.get_logger(__name__)

#: How often the master looks whether a worker that is starting serves, in seconds.
_LOOK_SECONDS: Final = 0.05


class WebTierEnded(MistError):
    """No worker serves, and none can be started."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.exit_status = Exit(status)


class Master(Arbiter):  # type: ignore[misc] # gunicorn has no types
    """Starts the workers, replaces them on a reload, and ends the service if there can be none."""

    LISTENERS: list[Any]
    WORKERS: dict[int, MistWorker]
    num_workers: int
    reexec_pid: int

    def __init__(self, app: Any, notifier: Notifier) -> None:
        self._notifier = notifier
        self._generation = 0
        self._served = False
        self._refused = ""
        self._stopping = False
        super().__init__(app)

    def setup(self, app: Any) -> None:
        """Take over the settings, at the start and on a reload."""
        super().setup(app)
        self._settings = mist.settings.load()
        self._begin()

    def start(self) -> None:
        """Bind the addresses; CannotListen if that cannot be."""
        if not {"LISTEN_FDS", "GUNICORN_FD"} & os.environ.keys():
            for bind in _tcp(self.cfg.bind):
                await_port(bind)
        super().start()
        self._begin()

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait no longer than until there is something to do."""
        if any(not worker.status.serves for worker in self.WORKERS.values()):
            timeout = _LOOK_SECONDS
        elif self._attempts.due > (now := time.monotonic()):
            timeout = min(timeout, self._attempts.due - now)
        signals: list[int] = super().wait_for_signals(timeout)
        return signals

    def manage_workers(self) -> None:
        """Start the workers that are missing, and end those that have been replaced."""
        new, old = self._workers()
        serving = sum(worker.status.serves for worker in new)
        self._announce(serving)
        for _ in range((self.num_workers if serving else 1) - len(new)):
            if time.monotonic() >= self._attempts.due:
                self._spawn()
        if serving:
            for worker in old[: max(0, serving + len(old) - self.num_workers)]:
                worker.status.note_replaced()
                self._dismiss(worker)
        for worker in new[: max(0, len(new) - self.num_workers)]:
            self._dismiss(worker)

    def murder_workers(self) -> None:
        """Kill the workers that hang, whether they serve or are still starting."""
        now = time.monotonic()
        for pid, worker in list(self.WORKERS.items()):
            if not worker.status.serves and not worker.dismissed:
                worker.tmp.notify()  # its own heartbeat has not begun yet
                if now > worker.forked_at + self._settings.server.start_seconds:
                    worker.hung = True
                    self.kill_worker(pid, signal.SIGKILL)
        super().murder_workers()

    def reap_workers(self) -> None:
        """Take note of each worker that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self.reexec_pid:
                self.reexec_pid = 0
            worker = self.WORKERS.pop(pid, None)
            if worker is not None:
                worker.tmp.close()
                release(worker.age)
                self.cfg.child_exit(self, worker)
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def reload(self) -> None:
        """Replace the workers by new ones with new settings; wrong settings change nothing."""
        before = self.app.cfg
        try:
            self.app.reload()
            for bind in set(_tcp(self.app.cfg.bind)) - set(before.bind):
                check_port(bind)
        except MistError as error:
            self.app.cfg = before
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
            if not worker.status.serves:
                self._dismiss(worker)
        self.manage_workers()

    def stop(self, graceful: bool = True) -> None:
        """End the workers; how they end is of no interest any more."""
        self._stopping = True
        super().stop(graceful)

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """End the service; WebTierEnded if nobody has asked it to."""
        try:
            super().halt(exit_status=exit_status)
        except SystemExit:
            if reason is None:
                raise
            raise WebTierEnded(reason, exit_status) from None

    # How

    def _begin(self) -> None:
        """Forget the failures so far."""
        self._attempts = Attempts(self._settings, self.num_workers, time.monotonic())

    def _workers(self) -> tuple[list[MistWorker], list[MistWorker]]:
        """Return those with the settings in force and those to be replaced, oldest first."""
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
                raise  # of the child, which must not go on as a second master
            self._failed(Failure(Exit.FAILURE, f"no worker can be started: {error.strerror}"))
        else:
            self.WORKERS[pid].generation = self._generation

    def _dismiss(self, worker: MistWorker) -> None:
        """End a worker; one that is starting may not have its signal handlers yet."""
        worker.dismissed = True
        self.kill_worker(worker.pid, signal.SIGTERM if worker.status.serves else signal.SIGKILL)

    def _ended(self, worker: MistWorker, code: int) -> None:
        serves = worker.status.serves
        if self._stopping or worker.dismissed or (serves and code == 0):
            return
        if worker.hung:
            failure = explain_hanging(self._settings.server.start_seconds)
        else:
            failure = explain_end(worker.status, code)
        if worker.generation != self._generation:
            log.warning("a web worker has ended that was to be replaced", reason=failure.reason)
            return
        if serves:
            self._attempts.note_serving(time.monotonic())
        self._failed(failure)

    def _failed(self, failure: Failure) -> None:
        """Have another worker started after a pause, or none."""
        self._attempts.note_failure(failure, now := time.monotonic())
        again = self._attempts.again
        if failure.traceback and not again:
            log.error("a web worker cannot start", exception=failure.traceback)
        serving = any(worker.status.serves for worker in self._workers()[0])
        if not serving and self._attempts.hopeless(failure):
            self._give_up(failure)
            return
        reason = "the same as before" if again else failure.reason
        pause = round(self._attempts.due - now, 3)
        log.warning("a web worker has ended", reason=reason, next_in_seconds=pause)

    def _refuse_reload(self, reason: str) -> None:
        """Say that nothing has changed, in the log and for ``systemctl status``."""
        log.error("reload failed, the workers go on as before", reason=reason)
        self._refused = f"; the last reload failed: {reason}"

    def _give_up(self, failure: Failure) -> None:
        """Go on with the workers that were to be replaced, or else end the service."""
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
            worker.generation = self._generation
        self.num_workers = len(old)
        self._begin()


def _tcp(binds: Iterable[str]) -> list[str]:
    """Return the addresses that are neither names of sockets nor descriptors."""
    return [bind for bind in binds if not bind.startswith(("unix:", "fd://"))]
