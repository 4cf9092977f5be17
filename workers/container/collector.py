"""Follows one application's container: through restarts of it, of the engine, of the broker.

A broken stream does not mean that the container ended; only the engine's word
does.  Each state is a method that does its work and returns the next one:

======== ==========================================================================
begin    look at the container, publish its status and its history
follow   publish what its stream gives, until the stream breaks or falls silent
recover  the stream may have left lines out: read them from the log
look     the stream is over: ask the engine why
away     the container does not run: it may be back in a moment
ended    ``end`` or ``error`` was published: watch for the container to come back
======== ==========================================================================

Whatever goes wrong with the engine in a state ends in ``_trouble``, which waits
and goes on with ``look`` (with ``begin`` as long as the history is not out).
"""

from __future__ import annotations

import itertools
import select
import time
from collections.abc import Callable
from typing import Final, Protocol

from bus.wire import NO_FLAGS, Flag
from mist import logs, process
from mist.errors import ContainerNotFound, EngineError, EngineUnreachable
from mist.settings import Settings
from workers.container import history, publisher, rotation
from workers.container.docker_logs import Container, DockerLogs, Feed
from workers.container.frames import Line
from workers.container.publisher import LogPublisher
from workers.container.resume import ResumePoint

State = Callable[[], "State"]

#: The first wait after something went wrong; each further one is twice as long.
_FIRST_DELAY: Final = 0.05
#: So many containers are remembered that had the name before; two take turns in a deployment.
_LEFT: Final = 8
#: How often a container is looked at that may be back in a moment.
_AWAY_POLL: Final = 0.1


class AppStatus(Protocol):
    """The application, as the store knows it."""

    def container(self) -> str | None:
        """The name of its container, or None if there is no such application."""

    def deploying(self) -> bool:
        """Whether a deployment is replacing its container."""


class Collector:
    """The states of one collector, and what they remember."""

    def __init__(
        self, app: AppStatus, source: DockerLogs, out: LogPublisher, settings: Settings
    ) -> None:
        self._app = app
        self._source = source
        self._out = out
        self._settings = settings
        self._limits = settings.collector
        self._log = logs.logger()
        self._name = ""
        self._seen: Container | None = None
        self._left: dict[str, ResumePoint | None] = {}
        self._deep = False
        self._delay = _FIRST_DELAY
        self._trouble_since: float | None = None

    def run(self) -> None:
        """Work until SIGTERM raises SystemExit."""
        state: State = self.rejoin if self._out.opened else self.begin
        while True:
            try:
                state = state()
            except EngineError as error:
                self._trouble(error)
                state = self._next(state)

    def begin(self) -> State:
        """Publish what there is when the first client comes."""
        self._name = self._app.container() or ""
        if not self._name:
            return self._refuse("Application not found")
        container = self._source.look(self._name)
        if container is None:
            return self._refuse("Container not found")
        self._history(container)
        self._trouble_since = None
        self._seen = container
        if container.running or container.restarting:
            self._out.ready()
            return self.follow if container.running else self.away
        # The error first: clients that wait for the history are to have it instead of that.
        self._out.error(
            f"Container is not running (state: {container.state})", publisher.NOT_RUNNING
        )
        self._out.ready()
        return self.ended

    def rejoin(self) -> State:
        """Go on where a predecessor crashed."""
        self._name = self._app.container() or ""
        self._seen = container = self._source.look(self._name) if self._name else None
        if container is None or not container.running:
            return self.ended if self._out.final else self.away
        anchor = self._out.anchor
        if anchor and container.created > anchor.line.timestamp:
            self._out.anchor = anchor = None
        if anchor is None or container.started > anchor.line.timestamp:
            self._status(container)
        return self.follow

    def follow(self) -> State:
        """Publish lines as they come."""
        assert self._seen is not None
        before = self._out.anchor
        depth = rotation.depth(self._seen, before, deep=self._deep)
        with self._source.follow(self._seen, before, depth) as feed:
            if self._out.final:
                self._status(self._seen)
            following = self._pump(feed)
        self._deep = not feed.splice.joined
        if feed.failure:
            raise EngineError(feed.failure)
        if self._out.anchor is before and following == self.look:
            self._wait()
        return following

    def _pump(self, feed: Feed) -> State:
        """Publish what the stream gives; the state that follows when it is over."""
        assert self._seen is not None
        poller = select.poll()
        poller.register(self._out.descriptor, select.POLLIN)
        poller.register(feed.connection, select.POLLIN)
        known, check = 0, self._next_check(feed)
        feed.gather.longest = rotation.longest(self._seen, self._limits)
        feed.gather.sharers = process.collectors()
        fresh = self._pass_on(feed.begun())
        while fresh and not feed.ended:
            fresh = self._receive(feed, poller, check)
            due = time.monotonic() >= check
            silent = due and feed.entries == known
            if feed.splice.lost or (silent and not feed.splice.joined):
                return self.recover
            if due:
                if self._stale(silent):
                    return self.look
                known, check = feed.entries, self._next_check(feed)
                feed.gather.sharers = process.collectors()
        return self.look if fresh else self.recover

    def recover(self) -> State:
        """Read from the log what a stream has not, or may not have, in full."""
        assert self._seen is not None
        self._rest(self._seen)
        self._out.idle(_FIRST_DELAY)
        return self.follow

    def look(self) -> State:
        """Find out why the stream is over."""
        container = self._source.look(self._name)
        if container is None or not container.running:
            return self.away
        if not container.same_run(self._seen):
            self._replace(container)
            self._status(container)
            self._seen = container
        return self.follow

    def away(self) -> State:
        """Give the container its time to come back; publish the end if it does not."""
        since = time.monotonic()
        while True:
            container = self._source.look(self._name)
            if container and container.running:
                return self.look
            waited = time.monotonic() - since
            if waited >= self._limits.stop_grace_seconds and waited >= self._patience(container):
                return self._end(container)
            self._out.idle(_AWAY_POLL)

    def ended(self) -> State:
        """Look now and then whether there is something to read again."""
        self._out.idle(self._limits.retry_seconds)
        container = self._source.look(self._name)
        self._trouble_since = None
        if container is None:
            return self.ended
        if self._seen is None:
            return self.begin
        if container.running:
            self._replace(container)
            self._seen = container
            return self.follow
        if container.same_run(self._seen):
            return self.ended
        return self._end(container)

    def _refuse(self, text: str) -> State:
        """There is nothing to read yet: say so once, and look again later."""
        if not self._out.final:
            self._out.error(text, publisher.NOT_FOUND)
        self._out.idle(self._limits.retry_seconds)
        return self.begin

    def _end(self, container: Container | None) -> State:
        """Publish the last lines, the last state and the end."""
        if self._seen:
            self._rest(self._seen)
        if container:
            self._replace(container)
            self._rest(container)
            self._status(container)
        else:
            self._out.status(self._name, "exited", "Removed")
        self._seen = container or self._seen
        self._out.end()
        return self.ended

    def _status(self, container: Container, flags: Flag = NO_FLAGS) -> None:
        words = self._source.words(container)
        self._out.status(self._name, container.state, words, flags)

    def _replace(self, container: Container) -> None:
        """Another container has a log of its own, with a beginning; finish the old one's.

        A deployment that failed brings the old container back, and of its log
        only what followed the last line published.
        """
        if self._seen and self._seen.id != container.id:
            self._rest(self._seen)
            self._left[self._seen.id] = self._out.anchor
            self._out.anchor = self._left.pop(container.id, None)
            while len(self._left) > _LEFT:
                del self._left[next(iter(self._left))]
            self._seen = None

    def _history(self, container: Container) -> None:
        """Publish the status and the newest lines that are there already.

        Nothing is published before the engine has begun to answer: an engine
        that refuses would have the status said again at each attempt.
        """
        if self._out.anchor:
            self._status(container, Flag.HISTORY)
            self._rest(container, Flag.HISTORY)
            return
        newest = history.newest(self._source, container, self._settings)
        next(newest)
        words = self._source.words(container)
        first = next(newest)
        self._out.status(self._name, container.state, words, Flag.HISTORY)
        for lines in itertools.chain([first], newest):
            self._publish(lines, Flag.HISTORY)

    def _rest(self, container: Container, flags: Flag = NO_FLAGS) -> None:
        """Publish what the log holds behind the last published line."""
        for tail in rotation.DEPTHS if self._out.anchor else (None,):
            try:
                feed = self._source.history(container, self._out.anchor, tail)
            except ContainerNotFound:
                return
            with feed:
                for lines in feed.all():
                    self._publish(lines, flags)
                    if feed.splice.lost and tail is None:
                        self._publish(feed.splice.release(), flags)
                if not container.running:
                    self._publish(feed.finish(), flags)
                if feed.failure:
                    self._log.warning("a log cannot be read to its end", reason=feed.failure)
                if feed.splice.joined:
                    return
                if tail is None:
                    self._publish(feed.splice.release(), flags)

    def _receive(self, feed: Feed, poller: select.poll, until: float) -> bool:
        """Publish lines until there are none, or until the time of the next check.

        False if what came is not to be trusted.
        """
        wait = max(0, int((until - time.monotonic()) * 1000) + 1) if feed.drained else 0
        self._out.await_broker()
        feed.gather.rest()
        told = self._out.descriptor in dict(poller.poll(wait))
        if feed.gather.wait() or told:
            self._out.await_broker()
        awaited = True
        while not feed.ended and not feed.splice.lost:
            if not self._pass_on(feed.read(), awaited=awaited):
                return False
            awaited = False
            if feed.drained or time.monotonic() >= until:
                break
        return True

    def _pass_on(self, lines: list[Line], *, awaited: bool = False) -> bool:
        """Publish what a stream gave, unless a rotation may have taken lines out of it."""
        assert self._seen is not None
        if lines and not rotation.complete(self._seen, lines[0]):
            return False
        self._publish(lines, awaited=awaited)
        return True

    def _publish(self, lines: list[Line], flags: Flag = NO_FLAGS, *, awaited: bool = False) -> None:
        if lines:
            self._out.lines(lines, flags, awaited=awaited)
            self._delay = _FIRST_DELAY
            self._trouble_since = None

    def _next_check(self, feed: Feed) -> float:
        """A stream whose anchor does not come must not hold its lines for long."""
        limits = self._limits
        return time.monotonic() + (
            limits.silence_seconds if feed.splice.joined else limits.retry_seconds
        )

    def _stale(self, silent: bool) -> bool:
        """Whether the stream is not, or no longer, the one to follow.

        A container can be renamed and replaced while it runs, and a stream can
        stop giving lines though the engine has some (seen after the rotation of
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
        anchor = self._out.anchor
        return newest is not None and (anchor is None or newest.timestamp > anchor.line.timestamp)

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

    def _next(self, failed: State) -> State:
        """Where to go on after trouble with the engine."""
        if failed == self.ended:
            return self.ended
        if not self._out.opened:
            return self.begin
        return self.look if self._seen else self.rejoin

    def _trouble(self, error: EngineError) -> None:
        """The engine does not do its part: wait, and say so if that lasts."""
        now = time.monotonic()
        self._trouble_since = self._trouble_since or now
        lasts = now - self._trouble_since >= self._limits.restart_seconds
        if not self._out.final and (lasts or not self._out.opened):
            self._log.warning("no log from the engine", reason=str(error))
            self._out.error(_told(error), publisher.TRY_AGAIN_LATER)
        self._wait()

    def _wait(self) -> None:
        self._out.idle(self._delay)
        self._delay = min(2 * self._delay, self._limits.retry_seconds)


def _told(error: EngineError) -> str:
    """What clients read; where the engine's socket is, is not theirs to know."""
    if isinstance(error, EngineUnreachable):
        return "Docker Engine is unreachable"
    return str(error)
