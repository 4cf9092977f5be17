"""A collector's questions to the engine: the state of a container, and its log.

Docker Engine API: "Inspect a container", "List containers", "Get container logs".
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from mist.errors import ContainerNotFound, LogNotReadable
from mist.settings import Settings
from workers import engine
from workers.container import rotation
from workers.container.container import Container, container_of
from workers.container.events import ContainerEvents
from workers.container.frames import Line
from workers.container.resume import ResumePoint
from workers.container.stream import LogStream
from workers.references import find_container

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

    def look(self, name: str) -> Container | None:
        """Return the container of this name, or None; raise EngineError without an answer."""
        found = find_container(self._settings, name)
        return None if found is None else container_of(found)

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
        self, container: Container, resume: ResumePoint | None, tail: int | None
    ) -> LogStream:
        """Return the log's last ``tail`` entries, or everything since the resume point.

        Read the LogStream with ``all``.
        """
        return self._logs(container, resume, tail, follow=False)

    def follow(
        self, container: Container, resume: ResumePoint | None, *, deep: bool, wake: int
    ) -> LogStream:
        """Return the log as it grows; read the LogStream with ``read``.

        ``deep`` means that the last stream ended before it reached the resume point.
        ``wake`` is a descriptor that interrupts a read when it becomes readable.
        """
        # Given a number of entries, the engine reads backwards from the end of the log.
        # Without one it scans the whole log for the first entry after ``since``.
        tail = rotation.depth(container, resume, deep=deep)
        stream = self._logs(container, resume, tail, follow=True)
        stream.follow(wake)
        return stream

    def last_line(self, container: Container) -> Line | None:
        """Return the newest line, as far as a single entry of the engine's log shows it."""
        with self._logs(container, None, 1, follow=False) as stream:
            lines = [line for some in stream.all(whole=False) for line in some]
        return lines[-1] if lines else None

    def _logs(
        self, container: Container, resume: ResumePoint | None, tail: int | None, *, follow: bool
    ) -> LogStream:
        query: dict[str, Any] = {
            "stdout": 1,
            "stderr": 1,
            "timestamps": 1,
            "follow": int(follow),
            "tail": "all" if tail is None else tail,
        }
        if resume:
            query["since"] = resume.since
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
