"""What a collector asks the engine: what a container is doing, and its log.

Docker Engine API: "Inspect a container", "List containers", "Get container logs".
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple, Self

import msgspec

from mist.errors import ContainerNotFound, EngineUnreachable
from mist.settings import Collector as Limits
from mist.settings import Settings
from workers import engine
from workers.container.frames import Line, parser
from workers.container.gather import Gather
from workers.container.splice import Anchor, Splice
from workers.references import find_container

#: One read of the stream; larger ones are no faster, and the allocator keeps them.
RECEIVE_BYTES: Final = 65_536

#: How long what is asked for in full may gather: its asker waits for the end of it.
_HISTORY_SECONDS: Final = 0.0003

#: Of the driver ``local`` unless it is told otherwise.
_LOCAL_FILE_BYTES: Final = 20_000_000
_UNITS: Final = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Container(NamedTuple):
    """A container at one moment; another ``started`` of the same ``id`` is a restart."""

    id: str
    started: str
    state: str
    running: bool
    restarting: bool
    created: str
    tty: bool
    auto_remove: bool
    rotates_at: int | None
    """How large a file of the log becomes before the next is begun, in bytes, if it does."""

    def same_run(self, other: Container | None) -> bool:
        """Whether the container has not been started or replaced since ``other``."""
        return other is not None and (self.id, self.started) == (other.id, other.started)


class Feed:
    """The lines of one request for a log, without those that were published before."""

    def __init__(
        self, reply: engine.Reply, tty: bool, limits: Limits, anchor: Anchor | None
    ) -> None:
        self.connection = reply.connection
        self.splice = Splice(anchor)
        self.ended = False
        self.drained = False
        self.gather = Gather(limits)
        self._lines = 0
        self._parser = parser(tty, limits.line_bytes)
        self._begun = reply.begun

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def begun(self) -> list[Line]:
        """What came together with the answer's head."""
        data, self._begun = self._begun, b""
        return self._parse(data)

    def read(self) -> list[Line]:
        """The lines of one read; ``drained`` when nothing is there, ``ended`` at the end.

        What the engine says instead of a line ends the stream, as a broken
        connection does; ``failure`` tells them apart.
        """
        try:
            data = self.connection.recv(RECEIVE_BYTES)
            self.drained = False
        except (BlockingIOError, ssl.SSLWantReadError):
            self.drained = True
            return []
        except OSError:
            data = b""
        self.ended = not data
        return self._parse(data)

    def all(self) -> Iterator[list[Line]]:
        """Everything until the end of the stream."""
        yield self.begun()
        while not self.ended:
            self.gather.wait(_HISTORY_SECONDS)
            yield self.read()

    def finish(self) -> list[Line]:
        """The lines that never ended, once the container did."""
        return self.splice.feed(self._parser.finish())

    @property
    def entries(self) -> int:
        """How many entries of the engine's log came, which keeps long lines in several."""
        return self._lines + self._parser.joined

    @property
    def failure(self) -> str:
        """The engine's words instead of a line."""
        return self._parser.failure

    def _parse(self, data: bytes) -> list[Line]:
        if not data:
            return []
        lines = self._parser.feed(data)
        self._lines += len(lines)
        self.gather.note(len(lines), len(data))
        self.ended = self.ended or bool(self._parser.failure)
        return self.splice.feed(lines)


class Source:
    """The engine's side of one application's container, known by its name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def look(self, name: str) -> Container | None:
        """Return the container of this name, or None; EngineError if the engine does not say."""
        found = find_container(self._settings, name)
        return None if found is None else _container(found)

    def words(self, container: Container) -> str:
        """The engine's phrase for the state, such as "Up 2 hours"."""
        filters = msgspec.json.encode({"id": [container.id]}).decode()
        with suppress(engine.Refused):
            for entry in engine.get_json(
                self._settings, "/containers/json", all=1, filters=filters
            ):
                return str(entry["Status"])
        return container.state.capitalize()

    def history(self, container: Container, anchor: Anchor | None, tail: int | None) -> Feed:
        """What the log holds now: its last ``tail`` entries, or all that follows the anchor."""
        return self._logs(container, anchor, tail, follow=False)

    def follow(self, container: Container, anchor: Anchor | None, tail: int | None) -> Feed:
        """The log as it grows; reads do not block.

        ``tail`` spares the engine a scan of the whole log from its beginning; if
        the anchor is not among so many entries, ask again with None.
        """
        feed = self._logs(container, anchor, tail, follow=True)
        feed.connection.setblocking(False)
        return feed

    def last_line(self, container: Container) -> Line | None:
        """The newest line that the engine has, as far as one entry of the log tells."""
        with self._logs(container, None, 1, follow=False) as feed:
            lines = [line for some in feed.all() for line in some]
        return lines[-1] if lines else None

    def _logs(
        self, container: Container, anchor: Anchor | None, tail: int | None, follow: bool
    ) -> Feed:
        query: dict[str, Any] = {
            "stdout": 1,
            "stderr": 1,
            "timestamps": 1,
            "follow": int(follow),
            "tail": "all" if tail is None else tail,
        }
        if anchor:
            query["since"] = anchor.since
        try:
            reply = engine.get(self._settings, f"/containers/{container.id}/logs", **query)
        except engine.Refused as error:
            if error.status == 404:
                raise ContainerNotFound(container.id) from None
            raise
        return Feed(reply, container.tty, self._settings.collector, anchor)


def _container(answer: Any) -> Container:
    """The part of an inspection that matters here."""
    try:
        state = answer["State"]
        return Container(
            id=answer["Id"],
            started=state["StartedAt"],
            state=state["Status"],
            running=state["Running"] and not state["Restarting"],
            restarting=state["Restarting"],
            created=answer["Created"],
            tty=answer["Config"]["Tty"],
            auto_remove=answer["HostConfig"]["AutoRemove"],
            rotates_at=_rotates_at(answer["HostConfig"].get("LogConfig") or {}),
        )
    except (KeyError, TypeError, AttributeError):
        raise EngineUnreachable("its address", "the answer is not the Docker Engine's") from None


def _rotates_at(log: dict[str, Any]) -> int | None:
    """What ``max-size`` says, of the log drivers that keep their log in files of ours to read."""
    size = (log.get("Config") or {}).get("max-size", "")
    if not size:
        return _LOCAL_FILE_BYTES if log.get("Type") == "local" else None
    number = "".join(part for part in size if part.isdigit() or part == ".")
    unit = size[len(number) :].strip().lower()[:1]
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError):
        return 0
