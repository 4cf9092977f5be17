"""A collector's questions to the engine: the state of a container, and its log.

Docker Engine API: "Inspect a container", "List containers", "Get container logs".
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from mist import clock
from mist.errors import ContainerNotFound, LogNotReadable
from mist.settings import Settings
from workers import engine
from workers.container.container import Container, container_of
from workers.container.events import ContainerEvents
from workers.container.frames import Line
from workers.container.resume import ResumePoint
from workers.container.stream import LogStream
from workers.references import find_container, inspect

# The engine is asked for lines from this long before the resume point on.
_MARGIN_NS: Final = 1_000_000_000
# The engine's answer for a log driver that it can only write to, and the status of that answer.
_NOT_READABLE: Final = "does not support reading"
_NOT_IMPLEMENTED: Final = 501


class DockerLogs:
    """The engine's view of one application's container, which is known by its name.

    ``collectors`` returns how many collectors share the host.
    """

    def __init__(self, settings: Settings, collectors: Callable[[], int]) -> None:
        self._settings = settings
        self._collectors = collectors

    def events(self, wake: int) -> ContainerEvents:
        """Return the events about a container; ``wake`` wakes those who wait for them, too."""
        return ContainerEvents(self._settings, wake)

    def look(self, name: str, followed: str = "") -> Container | None:
        """Return the container of this name, or None; raise EngineError without an answer.

        If it is replacing the container with the id ``followed``, and that one still runs,
        return that one: its last lines come before the lines of its successor.
        """
        answer = find_container(self._settings, name)
        if answer is None:
            return None
        found = container_of(answer)
        if followed and found.replaces == followed:
            old = inspect(self._settings, followed)
            if old is not None and old["State"]["Running"]:
                return container_of(old)
        return found

    def words(self, container: Container) -> str:
        """Return the engine's phrase for the state, such as "Up 2 hours"."""
        # An inspection does not contain the phrase; only the list does.
        filters = msgspec.json.encode({"id": [container.id]}).decode()
        with suppress(engine.EngineRefused):
            for entry in engine.get_json(
                self._settings, "/containers/json", all=1, filters=filters
            ):
                return str(entry["Status"])
        return container.state.capitalize()

    def history(
        self,
        container: Container,
        resume: ResumePoint | None,
        tail: int | None,
        *,
        near: bool = False,
    ) -> LogStream:
        """Return the last ``tail`` entries of the log, from behind the resume point on.

        ``near`` spares the engine compressed files that seem to be older than the resume
        point.  Such an answer is complete only if it contains the resume point and the
        engine's clock was not set back.  Read the LogStream with ``all``.
        """
        query: dict[str, Any] = {"tail": "all" if tail is None else tail}
        if near:
            query |= _near(container, resume)
        return self._logs(container, resume, query)

    def follow(self, container: Container, *, wake: int) -> LogStream:
        """Return the log as it grows from now on; read the LogStream with ``read``.

        ``wake`` is a descriptor that interrupts a read when it becomes readable.
        """
        # Without a tail the engine opens no rotated files.  It does so before it subscribes
        # to rotations, so it might miss one.
        stream = self._logs(container, None, {"tail": 0, "follow": 1})
        stream.follow(wake)
        return stream

    def last_line(self, container: Container, resume: ResumePoint | None) -> Line | None:
        """Return the newest line, as far as a single entry of the engine's log shows it."""
        query = {"tail": 1} | _near(container, resume)
        with self._logs(container, None, query) as stream:
            lines = [line for some in stream.all() for line in some]
        return lines[-1] if lines else None

    def _logs(
        self, container: Container, resume: ResumePoint | None, query: dict[str, Any]
    ) -> LogStream:
        query |= {"stdout": 1, "stderr": 1, "timestamps": 1}
        try:
            reply = engine.get(self._settings, f"/containers/{container.id}/logs", **query)
        except engine.EngineRefused as error:
            # Removed since the look; not a failure of the engine.
            if error.status == 404:
                raise ContainerNotFound(container.id) from None
            if error.status == _NOT_IMPLEMENTED or _NOT_READABLE in str(error):
                raise LogNotReadable(container.log_driver) from None
            raise
        return LogStream(
            reply, container, self._settings.collector, resume, collectors=self._collectors
        )


def _near(container: Container, resume: ResumePoint | None) -> dict[str, Any]:
    """Return the parameters for a part of the log that is to contain the resume point.

    With ``since``, Docker 20.10 opens no file behind the first compressed one that is
    older, and it drops every line with an earlier time stamp.
    """
    if resume is None or not container.compressed:
        return {}
    # Lines of stdout and stderr may be slightly out of order in the engine's file.
    moment = clock.nanoseconds(resume.line.timestamp) - _MARGIN_NS
    seconds, fraction = divmod(moment, 1_000_000_000)
    return {"since": f"{seconds}.{fraction:09d}"}
