"""The supervisor's event loop over sockets, process sentinels, signals and timers."""

from __future__ import annotations

import os
import signal
import time

import structlog
import zmq

import mist
from bus.broker.control import BrokerReady, Report
from mist import clock
from mist.notify import Notifier
from mist.paths import Paths
from mist.settings import Settings
from mist.store import Store
from supervisor import specs
from supervisor.broker_link import BrokerLink
from supervisor.control import Control, Status, rows
from supervisor.fencing import FencingTokens
from supervisor.notices import Notices
from supervisor.notify import NotifySocket
from supervisor.scheduler import Scheduler
from supervisor.signals import Signals
from supervisor.spawn import Spawner
from supervisor.states import State
from supervisor.supervisor import Effects, Supervisor

log = structlog.get_logger(__name__)


class Loop:
    """Run one service until it has ended; ``web`` is gunicorn's command, or empty."""

    def __init__(
        self, settings: Settings, paths: Paths, store: Store, web: tuple[str, ...] = ()
    ) -> None:
        self._settings = settings
        self._web = web
        self._began = clock.now()
        self._link = BrokerLink()
        self._notices = Notices(store.apps, store.installation)
        tokens = FencingTokens(paths.fencing)
        self._spawner = Spawner(settings, paths, self._link, self._notices, tokens, web)
        scheduler = Scheduler(store.deployments, settings.deployments.concurrency)
        self._supervisor = Supervisor(
            settings,
            Effects(
                start=self._spawner,
                clock=time.monotonic,
                tell=self._link.send,
                next_token=tokens,
                scheduler=scheduler,
                refresh=self._notices.update,
            ),
        )
        self._notifier = Notifier()
        self._ready = False
        self._from_web = NotifySocket(paths.notify) if web else None
        self._next_watchdog = time.monotonic()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._control = Control(self._context, paths, self._status)
        self._signals = Signals()
        self._handlers = {
            signal.SIGTERM: self._handle_stop,
            signal.SIGINT: self._handle_stop,
            signal.SIGHUP: self._handle_hup,
        }

    def run(self) -> int:
        """Serve, and return the exit status: 0 if the service was asked to end."""
        try:
            self._supervisor.add(specs.broker(self._settings))
            while not self._supervisor.stopped:
                self._turn()
        finally:
            self._close()
        return self._supervisor.exit_status

    @property
    def reason(self) -> str:
        """Why the service ended without being asked to; empty if it was asked."""
        return self._supervisor.reason

    def _turn(self) -> None:
        """Wait for the next event and handle whatever is ready."""
        ready = self._wait()
        for number in self._signals.take() if self._signals.descriptor in ready else ():
            self._handlers.get(number, _ignore)()
        if self._link.blocked:
            self._link.flush()
        if self._link.descriptor in ready:
            for report in self._link.reports():
                self._take(report)
        if self._from_web is not None:
            # Before reaping: a web tier that has ended may have left the reason in its socket.
            self._hear_web(self._from_web)
        # Check every child instead of mapping ready sentinels back to children.
        self._supervisor.reap()
        if self._control.socket in ready:
            self._control.answer()
        self._supervisor.tick()
        self._tell_systemd()

    def _wait(self) -> dict[object, int]:
        # A new poller each time, because the descriptors change with every child.
        poller = zmq.Poller()
        poller.register(self._control.socket, zmq.POLLIN)
        poller.register(self._signals.descriptor, zmq.POLLIN)
        if self._link.descriptor is not None:
            wanted = zmq.POLLIN | zmq.POLLOUT if self._link.blocked else zmq.POLLIN
            poller.register(self._link.descriptor, wanted)
        if self._from_web is not None:
            poller.register(self._from_web.fileno(), zmq.POLLIN)
        for child in self._supervisor.children.values():
            if child.process is not None:
                poller.register(child.process.sentinel, zmq.POLLIN)
        return dict(poller.poll(self._timeout_ms()))

    def _timeout_ms(self) -> int | None:
        """Return the time until the next timer; None without one."""
        times = [self._supervisor.due()]
        if self._notifier.watchdog_seconds is not None:
            times.append(self._next_watchdog)
        due = min((at for at in times if at is not None), default=None)
        # Rounded up: a loop that wakes early would only have to sleep again.
        return None if due is None else max(0, int((due - time.monotonic()) * 1000) + 1)

    def _take(self, report: Report) -> None:
        if isinstance(report, BrokerReady):
            self._broker_is_ready()
        else:
            self._supervisor.subscription_changed(report)

    def _broker_is_ready(self) -> None:
        """Start the processes that need the bus when the broker is ready for the first time."""
        self._supervisor.broker_restarted()
        if self._supervisor.stopping or "metrics" in self._supervisor.children:
            return  # a restarted broker: those processes are in the table already
        self._supervisor.add(specs.metrics(self._settings))
        if self._web:
            self._supervisor.add(specs.web(self._settings))
        else:
            self._say_ready()

    def _hear_web(self, notices: NotifySocket) -> None:
        """Handle the web tier's notices: that it serves, or why it gives up."""
        web = self._supervisor.children.get(specs.WEB)
        for notice in notices.take():
            if "READY" in notice:
                self._say_ready()
            if "STOPPING" in notice and web is not None:
                web.reason = notice.get("STATUS", "")

    def _say_ready(self) -> None:
        """Tell the service manager that the service is ready, once."""
        # A restarted web tier reports READY again, which changes nothing for the manager.
        if not self._ready:
            self._ready = True
            self._notifier.ready()
            log.info("ready", pid=os.getpid(), version=mist.__version__)

    def _handle_stop(self) -> None:
        """Stop in order at the first signal; kill everything at the second."""
        if self._supervisor.stopping:
            self._supervisor.kill()
            return
        self._notifier.stopping()
        self._supervisor.stop()

    def _handle_hup(self) -> None:
        """Make gunicorn reload its configuration and application."""
        web = self._supervisor.children.get(specs.WEB)
        # A web tier that starts later reads the new configuration anyway.
        if web is not None and web.process is not None and web.state is State.RUNNING:
            web.process.send_signal(signal.SIGHUP)

    def _tell_systemd(self) -> None:
        children = self._supervisor.children.values()
        running = sum(child.state is State.RUNNING for child in children)
        self._notifier.status(f"{running} of {len(children)} processes run")
        period = self._notifier.watchdog_seconds
        if period is not None and time.monotonic() >= self._next_watchdog:
            self._next_watchdog = time.monotonic() + period
            self._notifier.watchdog()

    def _status(self) -> Status:
        children = self._supervisor.children.values()
        state = "stopping" if self._supervisor.stopping else "running"
        now = time.monotonic()
        return Status(mist.__version__, os.getpid(), state, self._began, rows(children, now))

    def _close(self) -> None:
        # The spawner before the notices, because its children share the notices' memory.
        self._signals.close()
        self._link.close()
        self._spawner.close()
        self._notices.end()
        self._control.socket.close()
        self._context.term()
        if self._from_web is not None:
            self._from_web.close()


def _ignore() -> None:
    """Ignore a signal without a handler."""
