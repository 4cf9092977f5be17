"""Publish a container's log, so that each part continues where the last one ended.

The parts are the history, the stream of new lines, and what the log holds between the two,
after a stream that left lines out, or after the end of a container.
"""

from __future__ import annotations

import itertools
from typing import Protocol

from bus.wire import NO_FLAGS, Flag
from mist.messages import UNKNOWN, SkipReason
from mist.settings import Settings
from workers.container import history, status
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.publisher import LogPublisher
from workers.container.recall import Rest, continue_numbering
from workers.container.recovery import Recovery
from workers.container.stream import LogSource, LogStream
from workers.container.trouble import Trouble


class AppStatus(Protocol):
    """The application as the supervisor knows it; see :class:`mist.noticeboard.Notice`."""

    def container(self) -> str | None:
        """Return the name of its container, or None if the application does not exist."""

    def deploying(self) -> bool:
        """Return True while a deployment is replacing its container."""

    def installation(self) -> str:
        """Return the id of this installation of Mist."""


class FollowedLog:
    """The log of one container after another, as it is published."""

    def __init__(
        self,
        app: AppStatus,
        source: LogSource,
        out: LogPublisher,
        settings: Settings,
        trouble: Trouble,
    ) -> None:
        self.name = ""
        """The container's name."""
        self.seen: Container | None = None
        """The container whose log is being published."""
        self.stream: LogStream | None = None
        """The stream of its new lines while it is read."""
        self.events = source.events(out.descriptor)
        self._app = app
        self._source = source
        self._out = out
        self._settings = settings
        self._trouble = trouble

    def publish_status(
        self,
        container: Container | None,
        flags: Flag = NO_FLAGS,
        words: str = "",
        *,
        quiet: bool = False,
    ) -> None:
        """Publish the state and the health; ``words`` is the engine's phrase for the state."""
        if container is not None:
            words = words or self._source.words(container)
        body = status.encode(self.name, container, words, self._app.installation())
        self._out.status(body, flags, quiet=quiet)

    def update_status(self, container: Container | None, *, quiet: bool = False) -> None:
        """Publish the state and the health if they have changed."""
        if self._out.outdated(container):
            self.publish_status(container, quiet=quiet)

    def publish_history(self, container: Container) -> None:
        """Publish the status and the newest lines of the log.

        Nothing is published until the engine has begun to answer.  Otherwise an engine
        that refuses would cause another status at each attempt.
        """
        # A numbering is continued with everything that the log holds after its last line.
        if continue_numbering(self._source, container, self._out, self._settings):
            self.publish_status(container, Flag.HISTORY)
            return
        # A predecessor crashed in the middle of the history.
        if self._out.resume_point or self._out.claims.claim.container:
            self.leave_predecessors(container, Flag.HISTORY)
            self.publish_status(container, Flag.HISTORY)
            self.publish_rest(container, Flag.HISTORY)
            return
        remembered = self._settings.replay.lines
        # Subscribers find the last line that they have, if the history is long enough.
        tail = self._settings.streams.ring_lines if self._out.unjoined else remembered
        rest = Rest(self._out, remembered)
        newest = history.newest(self._source, container, self._settings, tail)
        next(newest)  # sends the request; the engine reads the log while it answers words()
        words = self._source.words(container)
        first = next(newest)
        self.publish_status(container, Flag.HISTORY, words)
        for lines in itertools.chain([first], newest):
            if self._out.unjoined:
                rest.before(len(lines))
            self._publish(lines, Flag.HISTORY)

    def publish_rest(self, container: Container, flags: Flag = NO_FLAGS) -> None:
        """Publish what the log holds after the resume point."""
        # No stream follows that would show lines with earlier time stamps.
        rest = Recovery(self._source, container, lambda: self._out.resume_point, near=False)
        told = False
        for lines in rest:
            if lines and rest.gone and not told:
                told = True
                self._out.skipped(UNKNOWN, self._loss(), flags)
            self._publish(lines, flags)

    def change_container(self, container: Container) -> None:
        """Finish the log of the previous container if ``container`` is a different one."""
        if self.seen and self.seen.id != container.id:
            self.publish_rest(self.seen)
            self._out.change_container(self.seen.id, container.id)
            self.seen = None

    def leave_predecessors(self, container: Container, flags: Flag = NO_FLAGS) -> None:
        """Finish the log of another container that a predecessor had published last."""
        left = self._out.claims.claim.container
        if left and left != container.id:
            self.publish_rest(container._replace(id=left, running=False), flags)
            self._out.change_container(left, container.id)

    def open_stream(self, container: Container) -> LogStream:
        """Follow the log, and publish what it holds from before the stream."""
        out = self._out
        stream = self.stream = self._source.follow(container, wake=self.events.descriptor)
        # The stream was over for the clients; a status reopens it.
        if out.final:
            self.publish_status(container)
        if out.resume_point:
            stream.note([out.resume_point.line])
        self.catch_up(container, stream)
        return stream

    def catch_up(self, container: Container, stream: LogStream) -> None:
        """Publish what the log holds between the last line and the stream's next ones."""
        suspect, doubtful, attached = stream.suspect, stream.doubtful, stream.attached
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
            if attached and first not in {None, suspect}:
                # It left lines out, and it may have missed a rotation.
                self.leave_stream()

    def leave_stream(self) -> None:
        """Close the stream."""
        if self.stream:
            self.stream.close()
        self.stream = None

    def _publish(self, lines: list[Line], flags: Flag) -> None:
        if lines:
            self._out.lines(lines, flags)
            self._trouble.recovered()

    def _loss(self) -> SkipReason:
        """Return why the log no longer holds the lines after the last one."""
        # While the engine was away, they could not be read before their file was deleted.
        return "rotated" if self._trouble.since is None else "engine"
