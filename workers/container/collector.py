"""Follows one application's container through restarts of it, the engine and the broker.

Each state of ``states.py`` has a method here that does the state's work and
returns what it found out; the table says which state comes next.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Final, Protocol

from bus.wire import NO_FLAGS, Flag
from mist import close_codes, logs
from mist.errors import ContainerNotFound, EngineError, EngineUnreachable
from mist.settings import Settings
from workers.container import history, rotation
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.publisher import LogPublisher
from workers.container.states import Event, State, transition
from workers.container.stream import CheckDue, Ended, Lines, LogSource, Suspect

#: The first wait after something went wrong; each further one is twice as long.
_FIRST_DELAY: Final = 0.05
#: How often a container is looked at that may be back in a moment.
_AWAY_POLL: Final = 0.1


class AppStatus(Protocol):
    """The application, as the supervisor knows it; see :class:`mist.noticeboard.Notice`."""

    def container(self) -> str | None:
        """Return the name of its container, or None if there is no such application."""

    def deploying(self) -> bool:
        """Return True while a deployment is replacing its container."""


class Collector:
    """One collector: where it stands in the table, and what it remembers."""

    def __init__(
        self,
        app: AppStatus,
        source: LogSource,
        out: LogPublisher,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = State.REJOINING if out.opened else State.STARTING
        self._app = app
        self._source = source
        self._out = out
        self._settings = settings
        self._limits = settings.collector
        self._clock = clock
        self._log = logs.logger()
        self._name = ""
        self._seen: Container | None = None
        self._deep = False
        self._delay = _FIRST_DELAY
        self._trouble_since: float | None = None
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
        """Do the work of one state and go on to the next."""
        try:
            event = self._work[self.state]()
        except EngineError as error:
            self._trouble(error)
            event = Event.TROUBLE
        self.state = transition(self.state, event)

    # The work of each state

    def _start(self) -> Event:
        """Publish what there is when the first client comes."""
        self._name = self._app.container() or ""
        if not self._name:
            return self._refuse("Application not found")
        container = self._source.look(self._name)
        if container is None:
            return self._refuse("Container not found")
        self._publish_history(container)
        self._trouble_since = None
        self._seen = container
        running = container.running or container.restarting
        if not running:
            # Clients that wait for the history are to see the error first, and not the history.
            text = f"Container is not running (state: {container.state})"
            self._out.error(text, close_codes.NOT_RUNNING)
        self._out.ready()
        if not running:
            return Event.OVER
        return Event.RUNNING if container.running else Event.RESTARTING

    def _rejoin(self) -> Event:
        """Go on where a predecessor crashed."""
        self._name = self._app.container() or ""
        self._seen = container = self._source.look(self._name) if self._name else None
        if container is None or not container.running:
            return Event.OVER if self._out.final else Event.STOPPED
        self._out.forget_lines_before(container.created)
        if not self._out.published_since(container.started):
            self._publish_status(container)
        return Event.RUNNING

    def _follow(self) -> Event:
        """Publish lines as they come."""
        assert self._seen is not None
        out, published = self._out, False
        with self._source.follow(
            self._seen, out.resume_point, deep=self._deep, wake=out.descriptor
        ) as stream:
            if out.final:
                self._publish_status(self._seen)
            while True:
                out.await_broker()
                event = stream.read()
                if isinstance(event, Lines):
                    out.lines(event.lines)
                    if not published:
                        published = True
                        self._recovered()
                elif isinstance(event, Suspect | Ended) or (
                    isinstance(event, CheckDue) and self._stale(event.silent)
                ):
                    break
            self._deep = not stream.joined
        if isinstance(event, Ended) and event.failure:
            raise EngineError(event.failure)
        if isinstance(event, Suspect):
            return Event.SUSPECT
        if not published:
            self._back_off()
        return Event.BROKEN

    def _recover(self) -> Event:
        """Read from the log what a stream has not, or may not have, in full."""
        assert self._seen is not None
        self._publish_rest(self._seen)
        self._out.idle(_FIRST_DELAY)
        return Event.RECOVERED

    def _check(self) -> Event:
        """Find out why the stream is over."""
        container = self._source.look(self._name)
        if container is None or not container.running:
            return Event.STOPPED
        if not container.same_run(self._seen):
            self._change_container(container)
            self._publish_status(container)
            self._seen = container
        return Event.RUNNING

    def _await_return(self) -> Event:
        """Give the container its time to come back; publish the end if it does not."""
        since = self._clock()
        while True:
            container = self._source.look(self._name)
            if container and container.running:
                return Event.RUNNING
            waited = self._clock() - since
            if waited >= self._limits.stop_grace_seconds and waited >= self._patience(container):
                return self._end(container)
            self._out.idle(_AWAY_POLL)

    def _watch(self) -> Event:
        """Look now and then if there is something to read again."""
        self._out.idle(self._limits.retry_seconds)
        container = self._source.look(self._name)
        self._trouble_since = None
        if container is None:
            return Event.MISSING
        if self._seen is None:
            return Event.FOUND
        if container.running:
            self._change_container(container)
            self._seen = container
            return Event.RUNNING
        return Event.OVER if container.same_run(self._seen) else self._end(container)

    # Publishing

    def _refuse(self, text: str) -> Event:
        """There is nothing to read yet: say so once, and look again later."""
        self._out.error(text, close_codes.NOT_FOUND)
        self._out.idle(self._limits.retry_seconds)
        return Event.MISSING

    def _end(self, container: Container | None) -> Event:
        """Publish the last lines, the last state and the end."""
        if self._seen:
            self._publish_rest(self._seen)
        if container:
            self._change_container(container)
            self._publish_rest(container)
            self._publish_status(container)
        else:
            self._out.status(self._name, "exited", "Removed")
        self._seen = container or self._seen
        self._out.end()
        return Event.OVER

    def _publish_status(self, container: Container, flags: Flag = NO_FLAGS) -> None:
        words = self._source.words(container)
        self._out.status(self._name, container.state, words, flags)

    def _change_container(self, container: Container) -> None:
        """Finish the log of the container seen last, if this is another one."""
        if self._seen and self._seen.id != container.id:
            self._publish_rest(self._seen)
            self._out.change_container(self._seen.id, container.id)
            self._seen = None

    def _publish_history(self, container: Container) -> None:
        """Publish the status and the newest lines that are there already.

        Nothing is published before the engine has begun to answer.  Otherwise an
        engine that refuses would cause another status with each attempt.
        """
        if self._out.resume_point:
            self._publish_status(container, Flag.HISTORY)
            self._publish_rest(container, Flag.HISTORY)
            return
        newest = history.newest(self._source, container, self._settings)
        next(newest)
        words = self._source.words(container)
        first = next(newest)
        self._out.status(self._name, container.state, words, Flag.HISTORY)
        for lines in itertools.chain([first], newest):
            self._publish(lines, Flag.HISTORY)

    def _publish_rest(self, container: Container, flags: Flag = NO_FLAGS) -> None:
        """Publish what the log holds behind the resume point."""
        resume = self._out.resume_point
        for tail in rotation.DEPTHS if resume else (None,):
            try:
                stream = self._source.history(container, resume, tail)
            except ContainerNotFound:
                return
            with stream:
                for lines in stream.all(whole=tail is None):
                    self._publish(lines, flags)
            if stream.failure:
                self._log.warning("a log cannot be read to its end", reason=stream.failure)
            if stream.joined:
                return

    def _publish(self, lines: list[Line], flags: Flag) -> None:
        if lines:
            self._out.lines(lines, flags)
            self._recovered()

    # Patience

    def _stale(self, silent: bool) -> bool:
        """Return True if the stream is not, or no longer, the one to follow.

        A container can be renamed and replaced while it runs, and a stream can
        stop giving lines although the engine has some (seen after the rotation of
        the log's files).
        """
        assert self._seen is not None
        container = self._source.look(self._name)
        if container is None or not container.same_run(self._seen):
            return True
        if not silent:
            return False
        self._trouble_since = None
        newest = self._source.last_line(container)
        return newest is not None and not self._out.published_since(newest.timestamp)

    def _patience(self, container: Container | None) -> float:
        """How long the container may take to come back, in seconds."""
        seen = self._seen
        if container is None:
            coming = seen is None or not seen.auto_remove
        else:
            replaced = seen is not None and seen.id != container.id
            coming = container.restarting or replaced or container.state == "created"
        if coming or self._app.deploying():
            return self._limits.restart_seconds
        return self._limits.stop_grace_seconds

    def _trouble(self, error: EngineError) -> None:
        """The engine does not do its part: wait, and say so if that lasts."""
        now = self._clock()
        self._trouble_since = self._trouble_since or now
        lasts = now - self._trouble_since >= self._limits.restart_seconds
        if not self._out.final and (lasts or not self._out.opened):
            self._log.warning("no log from the engine", reason=str(error))
            self._out.error(_told(error), close_codes.TRY_AGAIN_LATER)
        self._back_off()

    def _recovered(self) -> None:
        """The engine gives lines, so whatever was wrong is over."""
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
