"""Follow one application's container across restarts of it, the engine and the broker.

Each state in ``states.py`` has a method here that does the state's work and returns
an event; the table of transitions gives the next state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from bus.wire import NO_FLAGS, Flag
from mist import close_codes
from mist.errors import EngineError, LogNotReadable
from mist.settings import Settings
from workers.container.container import Container, patience
from workers.container.followed_log import AppStatus, FollowedLog
from workers.container.publisher import LogPublisher
from workers.container.resume import ResumePoint
from workers.container.states import Event, State, transition
from workers.container.stream import CheckDue, Ended, Lines, LogSource, LogStream, Suspect
from workers.container.trouble import FIRST_DELAY, Trouble

# The interval, in seconds, between looks at a stopped container that may come back.  It
# doubles, because containers often stop together, and each look is a request to the engine
# that has all of their ends to work off.
_AWAY_POLL: Final = 0.1
_AWAY_LIMIT: Final = 0.4


class Collector:
    """A state machine that publishes one container's log."""

    def __init__(
        self,
        app: AppStatus,
        source: LogSource,
        out: LogPublisher,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # If a predecessor completed the history, clients must not get it a second time.
        self.state = State.REJOINING if out.opened else State.STARTING
        self._app = app
        self._source = source
        self._out = out
        self._limits = settings.collector
        self._clock = clock
        self._trouble = Trouble(out, settings.collector, clock)
        self._log = FollowedLog(app, source, out, settings, self._trouble)
        self._missed: ResumePoint | None = None  # the last line when a newer one was missed
        self._unreadable = ""  # the id of a container whose log the engine cannot read
        self._work: dict[State, Callable[[], Event]] = {
            State.STARTING: self._start,
            State.REJOINING: self._rejoin,
            State.FOLLOWING: self._follow,
            State.RECOVERING: self._recover,
            State.CHECKING: self._check,
            State.AWAY: self._await_return,
            State.ENDED: self._watch,
        }

    def run(self) -> None:
        """Work until SIGTERM raises SystemExit."""
        while True:
            self.step()

    def step(self) -> None:
        """Do the work of the current state and enter the next one."""
        try:
            event = self._work[self.state]()
        except LogNotReadable as error:
            event = self._refuse_reading(error)
        except EngineError as error:
            self._log.leave_stream()
            self._trouble.note(error)
            event = Event.TROUBLE
        self.state = transition(self.state, event)

    # The work of each state.

    def _start(self) -> Event:
        """Publish the status and the history for the first client."""
        self._log.name = self._app.container() or ""
        if not self._log.name:
            return self._refuse("Application not found")
        container = self._look()
        if container is None:
            return self._refuse("Container not found")
        self._log.seen = container
        running = container.running or container.restarting
        try:
            self._log.publish_history(container)
        except LogNotReadable:
            if running:
                raise
            self._log.publish_status(container, Flag.HISTORY)  # it is to be started first
        self._trouble.answered()
        self._out.claims.enter(container.id, self._out.resume_point)
        if not running:
            # The error goes before "ready": clients that wait for the history must get the
            # error instead of the history.
            text = f"Container is not running (state: {container.state})"
            self._out.error(text, close_codes.NOT_RUNNING)
        self._out.ready()
        if not running:
            return Event.OVER
        return Event.RUNNING if container.running else Event.RESTARTING

    def _rejoin(self) -> Event:
        """Resume where a crashed predecessor stopped."""
        self._log.name = self._app.container() or ""
        self._log.seen = container = self._look() if self._log.name else None
        if container is None or not container.running:
            return Event.OVER if self._out.final else Event.STOPPED
        if not self._out.claims.claim.container:
            # The claim is lost, so only the times can tell.
            self._out.forget_lines_before(container.created)
        self._log.leave_predecessors(container)
        self._out.claims.enter(container.id, self._out.resume_point)
        self._log.update_status(container)
        return Event.RUNNING

    def _follow(self) -> Event:
        """Publish lines as they arrive."""
        assert self._log.seen is not None
        out, events, published = self._out, self._log.events, False
        if events.follow(self._log.seen.id):
            self._look_again()
        stream = self._log.stream or self._log.open_stream(self._log.seen)
        while True:
            out.await_broker()
            event = stream.read()
            if isinstance(event, Lines):
                out.lines(event.lines)
                # One line proves that the engine works; later ones need not pay for this.
                if not published:
                    published = True
                    self._trouble.recovered()
            elif isinstance(event, Suspect | Ended) or (
                isinstance(event, CheckDue) and self._stale(stream, event.silent)
            ):
                break
            else:
                if isinstance(event, CheckDue):
                    out.claims.touch()
                if events.happened():
                    self._look_again()
        # A suspect stream stays open: it may be the only one that still reads a deleted file.
        if isinstance(event, Suspect) and stream.joined:
            return Event.SUSPECT
        self._log.leave_stream()
        if isinstance(event, Ended) and event.failure:
            raise EngineError(event.failure)
        # A stream that ends at once would otherwise be opened again in a tight loop.
        if not published:
            self._trouble.back_off()
        return Event.BROKEN

    def _recover(self) -> Event:
        """Read from the log what the stream may have left out."""
        container = self._log.seen
        if container and self._log.stream:
            self._log.catch_up(container, self._log.stream)
            # A pause, because the stream of a rotated log may turn suspect at once.  Without a
            # stream, each moment may cost lines that the engine deletes.
            if self._log.stream and container.rotates_at is not None:
                self._out.idle(FIRST_DELAY)
        return Event.RECOVERED

    def _check(self) -> Event:
        """Find out why the stream ended."""
        container = self._look()
        if container is None or not container.running:
            return Event.STOPPED
        # The engine may have restarted or replaced the container between two looks.
        if not container.same_run(self._log.seen):
            self._log.change_container(container)
            self._log.publish_status(container)
            self._log.seen = container
        self._log.update_status(container)
        return Event.RUNNING

    def _await_return(self) -> Event:
        """Give the container time to come back; publish the end if it does not."""
        since, pause = self._clock(), _AWAY_POLL
        while True:
            container = self._look()
            if container and container.running:
                return Event.RUNNING
            waited = self._clock() - since
            allowed = patience(self._log.seen, container, self._app.deploying, self._limits)
            left = max(self._limits.stop_grace_seconds, allowed) - waited
            if left <= 0:
                return self._end(container)
            if waited >= self._limits.stop_grace_seconds:
                # The container is expected back, and then a single status tells its clients.
                # A restart that takes its time is news.
                quiet = container is None or not container.restarting
                self._log.update_status(container, quiet=quiet)
            self._out.idle(min(pause, left))
            pause = min(2 * pause, _AWAY_LIMIT)

    def _watch(self) -> Event:
        """Check at intervals if there is a log to read again."""
        # A web worker waits twice as long before it refuses a client with the remembered end.
        self._out.idle(self._limits.retry_seconds)
        container = self._source.look(self._log.name)
        self._trouble.answered()
        if container is None:
            return Event.MISSING
        if self._log.seen is None:
            return Event.FOUND
        if container.running and container.id != self._unreadable:
            self._log.change_container(container)
            self._log.seen = container
            return Event.RUNNING
        return Event.OVER if container.same_run(self._log.seen) else self._end(container)

    def _look(self) -> Container | None:
        """Return the container whose log is to be published now, or None."""
        seen = self._log.seen
        followed = seen.id if seen else self._out.claims.claim.container
        return self._source.look(self._log.name, followed)

    # Publishing.

    def _refuse(self, text: str) -> Event:
        """Publish once that there is nothing to read; look again later."""
        self._out.error(text, close_codes.NOT_FOUND)
        self._out.idle(self._limits.retry_seconds)
        return Event.MISSING

    def _end(self, container: Container | None) -> Event:
        """Publish the last lines, the last status and the end."""
        # The stream may have broken before it delivered the last lines.
        if container:
            self._log.change_container(container)
            self._log.publish_rest(container)
        elif self._log.seen:
            self._log.publish_rest(self._log.seen)
        if self._out.quiet or self._out.outdated(container):
            self._log.publish_status(container)
        self._log.seen = container or self._log.seen
        self._out.end()
        return Event.OVER

    def _refuse_reading(self, error: LogNotReadable) -> Event:
        """Publish once that the engine cannot read this container's log."""
        assert self._log.seen is not None
        self._unreadable = self._log.seen.id
        self._log.publish_status(self._log.seen, NO_FLAGS if self._out.opened else Flag.HISTORY)
        self._out.error(str(error), close_codes.NOT_READABLE)
        if not self._out.opened:
            self._out.ready()
        return Event.OVER

    def _look_again(self) -> None:
        """Publish the state and the health of the container that is followed, if they changed."""
        container = self._look()
        # One that does not run may be in the middle of a restart, which is one status, later.
        if container and container.running and container.same_run(self._log.seen):
            self._log.update_status(container)

    def _stale(self, stream: LogStream, silent: bool) -> bool:
        """Return True if this stream is not, or is no longer, the one to follow.

        A container can be renamed and replaced while it runs.  A stream can also stop
        delivering lines that the engine has (seen after log files were rotated).
        """
        assert self._log.seen is not None
        container = self._look()
        if container is None or not container.same_run(self._log.seen):
            return True
        self._log.update_status(container)
        self._log.events.follow(container.id)  # they may have broken off
        if not silent:
            return False
        self._trouble.answered()
        known = self._out.resume_point
        newest = self._source.last_line(container, known)
        # Equal or not: a clock that was set back makes new lines look older.
        if newest is None or (known and newest.timestamp == known.line.timestamp):
            return False
        if self._missed == known:
            return True
        # The line may be in transit, and only this stream may read a deleted file.
        self._missed = known
        stream.check_soon()
        return False
