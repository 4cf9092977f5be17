"""Follow one application's container across restarts of it, the engine and the broker.

Each state in ``states.py`` has a method here that does the state's work and returns
an event; the table of transitions gives the next state.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from bus.wire import NO_FLAGS, Flag
from mist import close_codes
from mist.errors import ContainerNotFound, EngineError, EngineUnreachable, LogNotReadable
from mist.settings import Settings
from workers.container import history, rotation, status
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.publisher import LogPublisher
from workers.container.states import Event, State, transition
from workers.container.stream import CheckDue, Ended, Lines, LogSource, Suspect

log = structlog.get_logger(__name__)

# The first wait after a failure, in seconds; each further wait is twice as long.
_FIRST_DELAY: Final = 0.05
# The interval, in seconds, between looks at a stopped container that may come back.
_AWAY_POLL: Final = 0.1


class AppStatus(Protocol):
    """The application as the supervisor knows it; see :class:`mist.noticeboard.Notice`."""

    def container(self) -> str | None:
        """Return the name of its container, or None if the application does not exist."""

    def deploying(self) -> bool:
        """Return True while a deployment is replacing its container."""

    def installation(self) -> str:
        """Return the id of this installation of Mist."""


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
        self._settings = settings
        self._limits = settings.collector
        self._clock = clock
        self._name = ""
        self._seen: Container | None = None  # the container whose log is being published
        self._deep = False  # the last stream ended before it reached the resume point
        self._delay = _FIRST_DELAY
        self._trouble_since: float | None = None  # None while the engine answers
        self._events = source.events(out.descriptor)
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
            self._trouble(error)
            event = Event.TROUBLE
        self.state = transition(self.state, event)

    # The work of each state.

    def _start(self) -> Event:
        """Publish the status and the history for the first client."""
        self._name = self._app.container() or ""
        if not self._name:
            return self._refuse("Application not found")
        container = self._source.look(self._name)
        if container is None:
            return self._refuse("Container not found")
        self._seen = container
        running = container.running or container.restarting
        try:
            self._publish_history(container)
        except LogNotReadable:
            if running:
                raise
            self._publish_status(container, Flag.HISTORY)  # it is to be started first
        self._trouble_since = None
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
        self._name = self._app.container() or ""
        self._seen = container = self._source.look(self._name) if self._name else None
        if container is None or not container.running:
            return Event.OVER if self._out.final else Event.STOPPED
        # The container may have been replaced while no collector was running.
        self._out.forget_lines_before(container.created)
        self._update_status(container)
        return Event.RUNNING

    def _follow(self) -> Event:
        """Publish lines as they arrive."""
        assert self._seen is not None
        out, events, published = self._out, self._events, False
        if events.follow(self._seen.id):
            self._look_again()
        with self._source.follow(
            self._seen, out.resume_point, deep=self._deep, wake=events.descriptor
        ) as stream:
            # The stream was over for the clients; a status reopens it.
            if out.final:
                self._publish_status(self._seen)
            while True:
                out.await_broker()
                event = stream.read()
                if isinstance(event, Lines):
                    out.lines(event.lines)
                    # One line proves that the engine works; later ones need not pay for this.
                    if not published:
                        published = True
                        self._recovered()
                elif isinstance(event, Suspect | Ended) or (
                    isinstance(event, CheckDue) and self._stale(event.silent)
                ):
                    break
                elif events.happened():
                    self._look_again()
            self._deep = not stream.joined
        if isinstance(event, Ended) and event.failure:
            raise EngineError(event.failure)
        if isinstance(event, Suspect):
            return Event.SUSPECT
        # A stream that ends at once would otherwise be opened again in a tight loop.
        if not published:
            self._back_off()
        return Event.BROKEN

    def _recover(self) -> Event:
        """Read from the log what the stream may have left out."""
        assert self._seen is not None
        self._publish_rest(self._seen)
        # A pause, because the next stream may turn suspect at once.
        self._out.idle(_FIRST_DELAY)
        return Event.RECOVERED

    def _check(self) -> Event:
        """Find out why the stream ended."""
        container = self._source.look(self._name)
        if container is None or not container.running:
            return Event.STOPPED
        # The engine may have restarted or replaced the container between two looks.
        if not container.same_run(self._seen):
            self._change_container(container)
            self._publish_status(container)
            self._seen = container
        self._update_status(container)
        return Event.RUNNING

    def _await_return(self) -> Event:
        """Give the container time to come back; publish the end if it does not."""
        since = self._clock()
        while True:
            container = self._source.look(self._name)
            if container and container.running:
                return Event.RUNNING
            waited = self._clock() - since
            if waited >= self._limits.stop_grace_seconds:
                if waited >= self._patience(container):
                    return self._end(container)
                # The container is expected back, and then a single status tells its clients.
                # A restart that takes its time is news.
                quiet = container is None or not container.restarting
                self._update_status(container, quiet=quiet)
            self._out.idle(_AWAY_POLL)

    def _watch(self) -> Event:
        """Check at intervals if there is a log to read again."""
        self._out.idle(self._limits.retry_seconds)
        container = self._source.look(self._name)
        self._trouble_since = None
        if container is None:
            return Event.MISSING
        if self._seen is None:
            return Event.FOUND
        if container.running and container.id != self._unreadable:
            self._change_container(container)
            self._seen = container
            return Event.RUNNING
        return Event.OVER if container.same_run(self._seen) else self._end(container)

    # Publishing.

    def _refuse(self, text: str) -> Event:
        """Publish once that there is nothing to read; look again later."""
        self._out.error(text, close_codes.NOT_FOUND)
        self._out.idle(self._limits.retry_seconds)
        return Event.MISSING

    def _end(self, container: Container | None) -> Event:
        """Publish the last lines, the last status and the end."""
        # The stream may have broken before it delivered the last lines.
        if self._seen:
            self._publish_rest(self._seen)
        if container:
            self._change_container(container)
            self._publish_rest(container)
        if self._out.quiet or self._out.outdated(container):
            self._publish_status(container)
        self._seen = container or self._seen
        self._out.end()
        return Event.OVER

    def _refuse_reading(self, error: LogNotReadable) -> Event:
        """Publish once that the engine cannot read this container's log."""
        assert self._seen is not None
        self._unreadable = self._seen.id
        self._publish_status(self._seen, NO_FLAGS if self._out.opened else Flag.HISTORY)
        self._out.error(str(error), close_codes.NOT_READABLE)
        if not self._out.opened:
            self._out.ready()
        return Event.OVER

    def _look_again(self) -> None:
        """Publish the state and the health of the container that is followed, if they changed."""
        container = self._source.look(self._name)
        if container is not None and container.same_run(self._seen):
            self._update_status(container)

    def _update_status(self, container: Container | None, *, quiet: bool = False) -> None:
        """Publish the state and the health if they have changed."""
        if self._out.outdated(container):
            self._publish_status(container, quiet=quiet)

    def _publish_status(
        self,
        container: Container | None,
        flags: Flag = NO_FLAGS,
        words: str = "",
        *,
        quiet: bool = False,
    ) -> None:
        if container is not None:
            words = words or self._source.words(container)
        body = status.encode(self._name, container, words, self._app.installation())
        self._out.status(body, flags, quiet=quiet)

    def _change_container(self, container: Container) -> None:
        """Finish the log of the previous container if ``container`` is a different one."""
        if self._seen and self._seen.id != container.id:
            self._publish_rest(self._seen)
            self._out.change_container(self._seen.id, container.id)
            self._seen = None

    def _publish_history(self, container: Container) -> None:
        """Publish the status and the newest lines of the log.

        Nothing is published until the engine has begun to answer.  Otherwise an engine
        that refuses would cause another status at each attempt.
        """
        # A predecessor crashed in the middle of the history.
        if self._out.resume_point:
            self._publish_status(container, Flag.HISTORY)
            self._publish_rest(container, Flag.HISTORY)
            return
        newest = history.newest(self._source, container, self._settings)
        next(newest)  # sends the request; the engine reads the log while it answers words()
        words = self._source.words(container)
        first = next(newest)
        self._publish_status(container, Flag.HISTORY, words)
        for lines in itertools.chain([first], newest):
            self._publish(lines, Flag.HISTORY)

    def _publish_rest(self, container: Container, flags: Flag = NO_FLAGS) -> None:
        """Publish what the log holds after the resume point."""
        resume = self._out.resume_point
        # A short tail first: the engine reads it from the end, without scanning the whole log.
        for tail in rotation.DEPTHS if resume else (None,):
            try:
                stream = self._source.history(container, resume, tail)
            except (ContainerNotFound, LogNotReadable):
                return
            with stream:
                for lines in stream.all(whole=tail is None):
                    self._publish(lines, flags)
            if stream.failure:
                log.warning("log_incomplete", reason=stream.failure)
            if stream.joined:
                return

    def _publish(self, lines: list[Line], flags: Flag) -> None:
        if lines:
            self._out.lines(lines, flags)
            self._recovered()

    # Patience.

    def _stale(self, silent: bool) -> bool:
        """Return True if this stream is not, or is no longer, the one to follow.

        A container can be renamed and replaced while it runs.  A stream can also stop
        delivering lines that the engine has (seen after log files were rotated).
        """
        assert self._seen is not None
        container = self._source.look(self._name)
        if container is None or not container.same_run(self._seen):
            return True
        self._update_status(container)
        self._events.follow(container.id)  # they may have broken off
        if not silent:
            return False
        self._trouble_since = None  # the engine answered, so whatever was wrong is over
        newest = self._source.last_line(container)
        return newest is not None and not self._out.published_since(newest.timestamp)

    def _patience(self, container: Container | None) -> float:
        """Return how many seconds the container may take to come back."""
        seen = self._seen
        # A removed container is usually being recreated, unless it ran with --rm.
        if container is None:
            coming = seen is None or not seen.auto_remove
        else:
            replaced = seen is not None and seen.id != container.id
            coming = container.restarting or replaced or container.state == "created"
        if coming or self._app.deploying():
            return self._limits.restart_seconds
        return self._limits.stop_grace_seconds

    def _trouble(self, error: EngineError) -> None:
        """Wait after an error of the engine, and report an error that persists."""
        now = self._clock()
        self._trouble_since = self._trouble_since or now
        lasts = now - self._trouble_since >= self._limits.restart_seconds
        if not self._out.final and (lasts or not self._out.opened):
            log.warning("engine_log_unavailable", reason=str(error))
            self._out.error(_told(error), close_codes.TRY_AGAIN_LATER)
        self._back_off()

    def _recovered(self) -> None:
        """Forget past failures, because the engine delivers lines."""
        self._delay = _FIRST_DELAY
        self._trouble_since = None

    def _back_off(self) -> None:
        self._out.idle(self._delay)
        self._delay = min(2 * self._delay, self._limits.retry_seconds)


def _told(error: EngineError) -> str:
    """Return the error as shown to clients, without the engine's address."""
    if isinstance(error, EngineUnreachable):
        return "Docker Engine is unreachable"
    return str(error)
