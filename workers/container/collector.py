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
from mist.errors import EngineError, EngineUnreachable, LogNotReadable
from mist.messages import UNKNOWN, SkipReason
from mist.settings import Settings
from workers.container import history, status
from workers.container.container import Container, patience
from workers.container.frames import Line
from workers.container.publisher import LogPublisher
from workers.container.recall import Rest, continue_numbering
from workers.container.recovery import Recovery
from workers.container.resume import ResumePoint
from workers.container.states import Event, State, transition
from workers.container.stream import CheckDue, Ended, Lines, LogSource, LogStream, Suspect

log = structlog.get_logger(__name__)

# The first wait after a failure, in seconds; each further wait is twice as long.
_FIRST_DELAY: Final = 0.05
# The interval, in seconds, between looks at a stopped container that may come back.  It
# doubles, because containers often stop together, and each look is a request to the engine
# that has all of their ends to work off.
_AWAY_POLL: Final = 0.1
_AWAY_LIMIT: Final = 0.4


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
        self._stream: LogStream | None = None  # stays open while the log is read
        self._missed: ResumePoint | None = None  # the last line when a newer one was missed
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
            self._leave_stream()
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
        self._name = self._app.container() or ""
        self._seen = container = self._source.look(self._name) if self._name else None
        if container is None or not container.running:
            return Event.OVER if self._out.final else Event.STOPPED
        if not self._out.claims.claim.container:
            # The claim is lost, so only the times can tell.
            self._out.forget_lines_before(container.created)
        self._leave_predecessors(container)
        self._out.claims.enter(container.id, self._out.resume_point)
        self._update_status(container)
        return Event.RUNNING

    def _follow(self) -> Event:
        """Publish lines as they arrive."""
        assert self._seen is not None
        out, events, published = self._out, self._events, False
        if events.follow(self._seen.id):
            self._look_again()
        stream = self._stream or self._open_stream(self._seen)
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
        self._leave_stream()
        if isinstance(event, Ended) and event.failure:
            raise EngineError(event.failure)
        # A stream that ends at once would otherwise be opened again in a tight loop.
        if not published:
            self._back_off()
        return Event.BROKEN

    def _recover(self) -> Event:
        """Read from the log what the stream may have left out."""
        if self._seen and self._stream:
            self._catch_up(self._seen, self._stream)
        # A pause, because the stream may turn suspect at once.  Without a stream, each moment
        # may cost lines that the engine deletes.
        if self._stream:
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
        since, pause = self._clock(), _AWAY_POLL
        while True:
            container = self._source.look(self._name)
            if container and container.running:
                return Event.RUNNING
            waited = self._clock() - since
            allowed = patience(self._seen, container, self._app.deploying, self._limits)
            left = max(self._limits.stop_grace_seconds, allowed) - waited
            if left <= 0:
                return self._end(container)
            if waited >= self._limits.stop_grace_seconds:
                # The container is expected back, and then a single status tells its clients.
                # A restart that takes its time is news.
                quiet = container is None or not container.restarting
                self._update_status(container, quiet=quiet)
            self._out.idle(min(pause, left))
            pause = min(2 * pause, _AWAY_LIMIT)

    def _watch(self) -> Event:
        """Check at intervals if there is a log to read again."""
        # A web worker waits twice as long before it refuses a client with the remembered end.
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
        if container:
            self._change_container(container)
            self._publish_rest(container)
        elif self._seen:
            self._publish_rest(self._seen)
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

    def _leave_predecessors(self, container: Container, flags: Flag = NO_FLAGS) -> None:
        """Finish the log of another container that a predecessor had published last."""
        left = self._out.claims.claim.container
        if left and left != container.id:
            self._publish_rest(container._replace(id=left, running=False), flags)
            self._out.change_container(left, container.id)

    def _publish_history(self, container: Container) -> None:
        """Publish the status and the newest lines of the log.

        Nothing is published until the engine has begun to answer.  Otherwise an engine
        that refuses would cause another status at each attempt.
        """
        # A numbering is continued with everything that the log holds after its last line.
        if continue_numbering(self._source, container, self._out, self._settings):
            self._publish_status(container, Flag.HISTORY)
            return
        # A predecessor crashed in the middle of the history.
        if self._out.resume_point or self._out.claims.claim.container:
            self._leave_predecessors(container, Flag.HISTORY)
            self._publish_status(container, Flag.HISTORY)
            self._publish_rest(container, Flag.HISTORY)
            return
        remembered = self._settings.replay.lines
        # Subscribers find the last line that they have, if the history is long enough.
        tail = self._settings.streams.ring_lines if self._out.unjoined else remembered
        rest = Rest(self._out, remembered)
        newest = history.newest(self._source, container, self._settings, tail)
        next(newest)  # sends the request; the engine reads the log while it answers words()
        words = self._source.words(container)
        first = next(newest)
        self._publish_status(container, Flag.HISTORY, words)
        for lines in itertools.chain([first], newest):
            if self._out.unjoined:
                rest.before(len(lines))
            self._publish(lines, Flag.HISTORY)

    def _publish_rest(self, container: Container, flags: Flag = NO_FLAGS) -> None:
        """Publish what the log holds after the resume point."""
        # No stream follows that would show lines with earlier time stamps.
        rest = Recovery(self._source, container, lambda: self._out.resume_point, near=False)
        told = False
        for lines in rest:
            if lines and rest.gone and not told:
                told = True
                self._out.skipped(UNKNOWN, self._loss(), flags)
            self._publish(lines, flags)

    def _open_stream(self, container: Container) -> LogStream:
        """Follow the log, and publish what it holds from before the stream."""
        out = self._out
        stream = self._stream = self._source.follow(container, wake=self._events.descriptor)
        # The stream was over for the clients; a status reopens it.
        if out.final:
            self._publish_status(container)
        if out.resume_point:
            stream.note([out.resume_point.line])
        self._catch_up(container, stream)
        return stream

    def _catch_up(self, container: Container, stream: LogStream) -> None:
        """Publish what the log holds between the last line and the stream's next ones."""
        suspect, doubtful = stream.suspect, stream.doubtful
        rest = Recovery(
            self._source,
            container,
            lambda: self._out.resume_point,
            suspect=suspect,
            near=not stream.odd,
        )
        first: Line | None = None
        for lines in rest:
            if lines:
                if first is None and rest.gone and doubtful:
                    self._out.skipped(UNKNOWN, self._loss())
                first = first or lines[0]
                self._publish(lines, NO_FLAGS)
                stream.note(lines)
        if suspect is None:
            stream.expect(rest.unfinished)
        elif rest.ahead:
            if doubtful:
                self._out.skipped(UNKNOWN, self._loss())
            stream.resume(None)
        else:
            stream.resume(self._out.resume_point)
            if container.rotates_at is not None and first not in {None, suspect}:
                # It left lines out, and it may have missed a rotation.
                self._leave_stream()

    def _loss(self) -> SkipReason:
        """Return why the log no longer holds the lines after the last one."""
        # While the engine was away, they could not be read before their file was deleted.
        return "rotated" if self._trouble_since is None else "engine"

    def _leave_stream(self) -> None:
        if self._stream:
            self._stream.close()
        self._stream = None

    def _publish(self, lines: list[Line], flags: Flag) -> None:
        if lines:
            self._out.lines(lines, flags)
            self._recovered()

    # Patience.

    def _stale(self, stream: LogStream, silent: bool) -> bool:
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
