"""An engine and a bus that a test plays, for histories of a log collector."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import msgspec

from bus.replay import START, Position, Snapshot
from bus.wire import NO_FLAGS, Flag, Kind
from mist.errors import ContainerNotFound, EngineUnreachable, LogNotReadable
from mist.settings import CollectorSettings, Settings
from workers.container.collector import Collector
from workers.container.container import Container
from workers.container.frames import Line
from workers.container.publisher import LogPublisher
from workers.container.resume import ResumePoint
from workers.container.states import State
from workers.container.stream import CheckDue, Ended, Idle, Lines, LogStream, StreamEvent, Suspect

CREATED = "2025-01-15T10:00:00.000000000Z"
STARTED = "2025-01-15T10:00:01.000000000Z"

SETTINGS = Settings(
    collector=CollectorSettings(restart_seconds=10.0, stop_grace_seconds=0.5, retry_seconds=0.25)
)


def line(number: int, text: str = "") -> Line:
    """Return a line that was written ``number`` seconds after the container's start."""
    return Line(f"2025-01-15T10:01:{number:02d}.000000000Z", "stdout", text or f"line {number}")


def container(name: str = "a", **changes: Any) -> Container:
    """Return a running container whose id is ``name``."""
    usual: dict[str, Any] = {
        "id": name,
        "started": STARTED,
        "state": "running",
        "running": True,
        "restarting": False,
        "created": CREATED,
        "tty": False,
        "auto_remove": False,
        "rotates_at": None,
    }
    return Container(**(usual | changes))


def stopped(name: str = "a", **changes: Any) -> Container:
    """Return a container that has exited."""
    return container(name, **({"running": False, "state": "exited"} | changes))


class Clock:
    """A clock that advances when the collector waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class FakeBus:
    """A bus that stores what is published; its broker is present by default."""

    descriptor = -1

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.published: list[tuple[Kind, Flag, int, bytes]] = []
        self.waits: list[float] = []
        self.absences = 0
        self.epoch, self.next = 7, 1
        self.numbers: list[tuple[int, int]] = []

    def claim(self, *, resume: bool, after: Position = START) -> Snapshot:
        """Claim the topic of a broker that knows nothing."""
        assert not resume
        self.epoch, self.next = (after.epoch, after.seq + 1) if after.epoch else (9, 1)
        return Snapshot(b"", self.epoch, 9, after.seq, [])

    def service(self) -> bool:
        """Return True unless the script says that the broker is away."""
        self.absences -= self.absences > 0
        return not self.absences

    def wait(self, seconds: float | None = None) -> bool:
        """Advance the time without sleeping."""
        self.waits.append(seconds or 0.0)
        self.clock.now += seconds or 0.0
        return seconds is None

    def publish(
        self, kind: Kind, body: bytes, *, count: int = 1, flags: Flag = NO_FLAGS, code: int = 0
    ) -> None:
        """Store a message."""
        assert count == len(body.split(b"\n"))
        self.numbers.append((self.epoch, self.next))
        self.next += count
        self.published.append((kind, flags, code, body))


class FakeStream(LogStream):
    """A stream that gives scripted events, or the lines of a whole log."""

    def __init__(  # the real stream needs a connection
        self,
        script: Iterable[StreamEvent | Callable[[], object]],
        *,
        joined: bool = True,
        entries: int = 0,
    ) -> None:
        self._script = iter(script)
        self._known = joined
        self._failure = ""
        self._count = entries
        self.unfinished = []
        self.suspects: Line | None = None
        self.continues = True
        self.resumed: list[ResumePoint | None] = []
        self.noted: list[Line] = []
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream."""
        self.closed = True

    @property
    def joined(self) -> bool:
        """Return True unless the script says that the resume point was not found."""
        return self._known

    @property
    def entries(self) -> int:
        """Return the scripted number."""
        return self._count

    @property
    def failure(self) -> str:
        """Return the engine's complaint."""
        return self._failure

    @property
    def suspect(self) -> Line | None:
        """Return the scripted line."""
        return self.suspects

    @property
    def attached(self) -> bool:
        """Return what the test says."""
        return self.continues

    @property
    def odd(self) -> bool:
        """Return False."""
        return False

    @property
    def doubtful(self) -> bool:
        """Return True."""
        return True

    def check_soon(self) -> None:
        """Do nothing; the script says when a check is due."""

    def note(self, lines: list[Line]) -> None:
        """Store the lines."""
        self.noted += lines

    def expect(self, unfinished: list[str]) -> None:
        """Do nothing."""

    def resume(self, point: ResumePoint | None) -> None:
        """Store the point."""
        self.resumed.append(point)

    def read(self) -> StreamEvent:
        """Return the script's next event; a function in the script runs between two events."""
        for event in self._script:
            if not isinstance(event, Lines | Idle | CheckDue | Suspect | Ended):
                event()
                continue
            return event
        return Ended()

    def all(self) -> Iterator[list[Line]]:
        """Yield the script's lines."""
        for event in self._script:
            if isinstance(event, Ended):
                self._failure = event.failure
            if isinstance(event, Lines):
                yield event.lines


class FakeEvents:
    """Events about a container, as many as a test says."""

    descriptor = FakeBus.descriptor
    pending = 0
    """The number of changes that have not been noticed yet."""

    def follow(self, container: str) -> bool:
        """Return False: nothing happened before."""
        assert container
        return False

    def happened(self) -> bool:
        """Return True once for each change."""
        self.pending -= (happened := self.pending > 0)
        return happened


class FakeEngine:
    """An engine with one name, the container behind it, and logs by container id."""

    def __init__(self) -> None:
        self.container: Container | None = container()
        self.replaced: Container | None = None
        """The container that the present one replaces, while it runs."""
        self.logs: dict[str, list[Line]] = {}
        self.streams: list[FakeStream] = []
        self.looks: list[Container | None] = []
        self.fails: Exception | None = None
        self.depths: list[int | None] = []
        self.followed: list[FakeStream] = []
        self.log_failure = ""
        self.changes = FakeEvents()
        self.unreadable: set[str] = set()

    def events(self, wake: int) -> FakeEvents:
        """Return the scripted events."""
        assert wake == FakeBus.descriptor
        return self.changes

    def look(self, _name: str, followed: str = "") -> Container | None:
        """Return the scripted container of the next look, or else the current one."""
        self._answer()
        if self.looks:
            self.container = self.looks.pop(0)
        if self.container and self.replaced and self.container.replaces == followed:
            return self.replaced
        return self.container

    def words(self, one: Container) -> str:
        """Return the engine's description of the state."""
        self._answer()
        return "Up 2 hours" if one.running else "Exited (0)"

    def history(
        self,
        one: Container,
        resume: ResumePoint | None,
        tail: int | None,
        *,
        near: bool = False,
    ) -> LogStream:
        """Return the log behind the resume point."""
        self._answer(one)
        self.depths.append(tail)
        if one.id not in self.logs:
            raise ContainerNotFound(one.id)
        log = self.logs[one.id]
        shown = log if tail is None else log[-tail:]
        if resume is None:
            return FakeStream([Lines(shown), Ended(self.log_failure)], entries=len(shown))
        joined = resume.line in shown
        lines = shown[shown.index(resume.line) + 1 :] if joined else []
        return FakeStream(
            [Lines(lines), Ended(self.log_failure)], joined=joined, entries=len(shown)
        )

    def follow(self, one: Container, *, wake: int) -> LogStream:
        """Return the next scripted stream."""
        assert wake == FakeBus.descriptor
        self._answer(one)
        self.followed.append(self.streams.pop(0))
        return self.followed[-1]

    def last_line(self, one: Container, resume: ResumePoint | None) -> Line | None:
        """Return the newest line of the log."""
        self._answer()
        return self.logs[one.id][-1] if self.logs.get(one.id) else None

    def _answer(self, log_of: Container | None = None) -> None:
        if self.fails:
            raise self.fails
        if log_of is not None and log_of.id in self.unreadable:
            raise LogNotReadable("syslog")

    def go_away(self) -> None:
        """Become unreachable."""
        self.fails = EngineUnreachable("unix:///var/run/docker.sock", "connection refused")


class FakeApp:
    """The application as the store describes it."""

    name: str | None = "web"
    replaced = False

    def container(self) -> str | None:
        """Return the container's name."""
        return self.name

    def deploying(self) -> bool:
        """Return True during a deployment."""
        return self.replaced

    def installation(self) -> str:
        """Return the id of this installation."""
        return "ours"


class History:
    """A collector and its surroundings."""

    def __init__(self, *, opened: bool = False, settings: Settings = SETTINGS) -> None:
        self.clock = Clock()
        self.bus = FakeBus(self.clock)
        self.engine = FakeEngine()
        self.engine.logs["a"] = []
        self.app = FakeApp()
        self.out = LogPublisher(self.bus, settings)
        self.out.opened = opened
        self.collector = Collector(self.app, self.engine, self.out, settings, self.clock)

    def stream(self, *script: StreamEvent | Callable[[], object], joined: bool = True) -> None:
        """Script the next stream that is followed."""
        self.engine.streams.append(FakeStream(script, joined=joined))

    def logs(self, *numbers: int, times: int = 1) -> Callable[[], object]:
        """Return a step of a script: the log of container ``a`` now holds these lines."""
        lines = [line(number) for number in numbers] * times
        return lambda: self.engine.logs.update({"a": lines})

    def steps(self, count: int = 1) -> State:
        """Let the collector take steps; return its state."""
        for _ in range(count):
            self.collector.step()
        return self.collector.state

    def until(self, state: State, most: int = 100) -> None:
        """Let the collector take steps until it reaches a state."""
        for _ in range(most):
            if self.collector.state is state:
                return
            self.collector.step()
        raise AssertionError(f"{state} is not reached, but {self.collector.state}")

    def following(self) -> None:
        """Start with a complete history of a running container."""
        self.steps()
        assert self.collector.state is State.FOLLOWING
        self.bus.published.clear()

    @property
    def kinds(self) -> list[Kind]:
        """Return the published kinds, collapsing consecutive lines."""
        return [kind for kind, _ in itertools.groupby(kind for kind, *_ in self.bus.published)]

    @property
    def codes(self) -> list[int]:
        """Return the published close codes."""
        return [code for _, _, code, _ in self.bus.published if code]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return what a client would have received."""
        bodies = [body for *_, body in self.bus.published if body]
        return [msgspec.json.decode(one) for body in bodies for one in body.split(b"\n")]

    @property
    def lines(self) -> list[str]:
        """Return the text of the lines."""
        return [event["data"]["line"] for event in self.events if event["type"] == "log"]

    @property
    def messages(self) -> list[str]:
        """Return the texts of errors and ends."""
        return [event["data"]["message"] for event in self.events if "message" in event["data"]]
