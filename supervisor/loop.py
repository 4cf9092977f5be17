"""The supervisor's event loop over sockets, process sentinels, signals and timers."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Collection
from typing import Final

import structlog
import zmq

import mist
from bus.broker.control import BrokerReady, Report
from mist import clock, health, process
from mist.notify import Notifier
from mist.paths import Paths
from mist.settings import Settings
from mist.status import ServiceStatus
from mist.store import Store
from supervisor import specs
from supervisor.adoption import Strays
from supervisor.broker_link import BrokerLink
from supervisor.control import Control, health_of, rows
from supervisor.demand import wanted_apps
from supervisor.fencing import FencingTokens
from supervisor.notices import Notices
from supervisor.notify import NotifySocket
from supervisor.programs import Program
from supervisor.readers import Readers
from supervisor.removals import Removals
from supervisor.scheduler import Scheduler
from supervisor.signals import Signals
from supervisor.spawn import Spawner
from supervisor.states import State
from supervisor.supervisor import Effects, Supervisor
from supervisor.watch import EARLY_SECONDS

log = structlog.get_logger(__name__)

# How often the supervisor looks for processes that it has adopted, and reports.
_ROUND_SECONDS: Final = 1.0
# The interval between two turns while the system refuses to wait for descriptors.
_SHORT_SECONDS: Final = 0.1


class Loop:
    """Run one service until it has ended; ``web`` is gunicorn's command, or empty."""

    def __init__(
        self, settings: Settings, paths: Paths, store: Store, web: tuple[str, ...] = ()
    ) -> None:
        # Whatever outlives the worker that started it becomes a child of this process.
        process.adopt_orphans()
        self._settings = settings
        self._report = health.Report(paths)
        self._web = web
        self._began = clock.now()
        self._link = BrokerLink()
        self._notices = Notices(store.apps, store.installation)
        tokens = FencingTokens(paths.fencing)
        self._readers = Readers(settings, paths.readers, store.apps.containers, self._status)
        self._spawner = Spawner(
            settings, paths, self._link, self._notices, tokens, web, self._readers
        )
        scheduler = Scheduler(store.deployments, settings)
        self._supervisor = Supervisor(
            settings,
            Effects(
                start=self._spawner,
                clock=time.monotonic,
                tell=self._link.send,
                next_token=tokens,
                scheduler=scheduler,
                refresh=self._notices.update,
                look_up=self._notices.look_up,
                exists=self._notices.exists,
                removals=Removals(store.apps, settings),
            ),
        )
        self._notifier = Notifier()
        self._ready = False
        self._from_web = NotifySocket(paths.notify) if web else None
        self._next_round = time.monotonic()
        self._strays = Strays()
        self._running: set[int] = set()
        self._web_sessions: set[int] = set()
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
            self._supervisor.add(specs.fork_server(self._settings))
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
            reports = self._link.reports()
            self._notices.look_up(wanted_apps(reports))
            for report in reports:
                self._take(report)
        if self._from_web is not None:
            # Before reaping: a web tier that has ended may have left the reason in its socket.
            self._hear_web(self._from_web)
        # Check every child instead of mapping ready sentinels back to children.
        self._supervisor.reap()
        # At each turn, because the descriptor of a ZeroMQ socket is edge-triggered (ZMQ_FD).
        self._control.answer()
        if self._readers.fileno() in ready:
            self._readers.take(self._supervisor)
        self._supervisor.tick()
        self._readers.tick(self._supervisor)
        self._housekeep()
        self._tell_systemd()

    def _wait(self) -> Collection[int]:
        """Return the descriptors that are ready."""
        wanted = {self._control.socket.fileno(): select.POLLIN}
        wanted[self._signals.descriptor] = select.POLLIN
        wanted[self._readers.fileno()] = select.POLLIN
        if self._link.descriptor is not None:
            more = select.POLLOUT if self._link.blocked else 0
            wanted[self._link.descriptor] = select.POLLIN | more
        if self._from_web is not None:
            wanted[self._from_web.fileno()] = select.POLLIN
        for child in self._supervisor.children.values():
            if child.process is not None:
                wanted[child.process.sentinel] = select.POLLIN
        # A new poller each time, because the descriptors change with every child.
        poller = select.poll()
        for descriptor, events in wanted.items():
            poller.register(descriptor, events)
        try:
            return dict(poller.poll(self._timeout_ms()))
        except OSError:
            # More descriptors than the limit of open files, which was lowered meanwhile
            # (poll(2), EINVAL).  Nothing that a turn calls blocks, so look at all of them.
            time.sleep(_SHORT_SECONDS)
            return wanted

    def _housekeep(self) -> None:
        """Sweep and report: at once when a process has started or ended, and each second."""
        now = time.monotonic()
        children = self._supervisor.children.values()
        running = {child.pid for child in children if child.pid is not None}
        if now >= self._next_round - EARLY_SECONDS or self._running != running:
            self._next_round, self._running = now + _ROUND_SECONDS, running
            web = self._supervisor.children.get(specs.WEB)
            if web is not None and web.pid is not None:
                # A web worker whose master has died says goodbye to its clients and ends.
                self._web_sessions.add(web.pid)
            # What workers that have ended leave behind.
            self._strays.sweep(running, self._web_sessions)
            self._report.write(health_of(children, now, self._supervisor.watch))

    def _timeout_ms(self) -> int:
        """Return the time until the next timer."""
        now = time.monotonic()
        times = (self._supervisor.due(), self._readers.due(self._supervisor))
        due = min((at for at in times if at is not None), default=None)
        rest = self._notifier.watchdog_seconds or _ROUND_SECONDS
        rest = min(rest, self._next_round - now, _ROUND_SECONDS if due is None else due - now)
        # Rounded up: a loop that wakes early would only have to sleep again.
        return max(0, int(rest * 1000) + 1)

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
        if self._settings.bus.tap_bind:
            self._supervisor.add(specs.tap(self._settings))
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
            if "WATCHDOG" in notice and web is not None and isinstance(web.process, Program):
                web.process.note_beat(time.monotonic())
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
        self._notifier.watchdog()

    def _status(self) -> ServiceStatus:
        children = self._supervisor.children.values()
        state = "stopping" if self._supervisor.stopping else "running"
        now = time.monotonic()
        return ServiceStatus(
            mist.__version__,
            os.getpid(),
            state,
            self._began,
            rows(children, now, self._supervisor.watch),
        )

    def _close(self) -> None:
        # The spawner before the notices, because its children share the notices' memory.
        self._report.close()
        self._signals.close()
        self._link.close()
        self._spawner.close()
        process.adopt_orphans(False)
        self._notices.end()
        self._readers.close()
        self._control.socket.close()
        self._context.term()
        if self._from_web is not None:
            self._from_web.close()


def _ignore() -> None:
    """Ignore a signal without a handler."""
