"""A world without processes: a clock that is set, and processes that end when told to."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable

from bus.broker.control import Command, SubscriptionChanged
from mist.settings import Settings
from mist.store import Deployment
from supervisor.scheduler import Rows, Scheduler
from supervisor.specs import Spec
from supervisor.supervisor import Effects, Supervisor


class FakeProcess:
    """Ends with the status that a test gives it; notes the signals that it gets."""

    def __init__(self, pid: int, spec: Spec, resume: bool) -> None:
        self.pid = pid
        self.spec = spec
        self.resume = resume
        self.signals: list[int] = []
        self.code: int | None = None
        self.closed = False

    @property
    def sentinel(self) -> int:
        """Nobody waits for it."""
        return -1

    def exit_code(self) -> int | None:
        """What the test has set."""
        return self.code

    def send_signal(self, number: int) -> None:
        """Note it; the test decides what follows."""
        self.signals.append(number)

    def close(self) -> None:
        """Note it."""
        self.closed = True


class World:
    """The clock, every process that was started, and what broker and collectors were told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.started: list[FakeProcess] = []
        self.told: list[Command] = []
        self.deploying: list[frozenset[int]] = []
        self.refuse_to_start: Exception | None = None
        self._pids = itertools.count(100)

    def clock(self) -> float:
        """The time that the test has set."""
        return self.now

    def start(self, spec: Spec, resume: bool) -> FakeProcess:
        """Start a process that does nothing."""
        if self.refuse_to_start is not None:
            raise self.refuse_to_start
        process = FakeProcess(next(self._pids), spec, resume)
        self.started.append(process)
        return process

    @property
    def last(self) -> FakeProcess:
        """The process that was started last."""
        return self.started[-1]

    def supervisor(self, settings: Settings, rows: Rows | None = None) -> Supervisor:
        """A supervisor in this world."""
        scheduler = Scheduler(rows, settings.deployments.concurrency) if rows else None
        return Supervisor(
            settings,
            Effects(
                start=self.start,
                clock=self.clock,
                tell=self.told.append,
                next_token=itertools.count(1).__next__,
                scheduler=scheduler,
                refresh=self.deploying.append,
            ),
        )


class History:
    """Lets time pass for a supervisor, and tells it what happens."""

    def __init__(self, settings: Settings, rows: Rows | None = None) -> None:
        self.world = World()
        self.supervisor = self.world.supervisor(settings, rows)

    def subscribe(self, prefix: bytes) -> None:
        """Somebody subscribes."""
        self.supervisor.edge(SubscriptionChanged(True, prefix))

    def unsubscribe(self, prefix: bytes) -> None:
        """The last one who had subscribed goes."""
        self.supervisor.edge(SubscriptionChanged(False, prefix))

    def ends(self, process: FakeProcess, code: int) -> None:
        """A process ends."""
        process.code = code
        self.supervisor.reap()
        assert process.closed

    def passes(self, seconds: float) -> None:
        """Time passes, and the loop wakes for each timer on the way."""
        end = self.world.now + seconds
        while (due := self.supervisor.due()) is not None and due <= end:
            self.world.now = max(self.world.now, due)
            self.supervisor.tick()
        self.world.now = end
        self.supervisor.tick()

    def running(self) -> list[str]:
        """The names of the children that have a process."""
        return [child.spec.name for child in self.supervisor.children.values() if child.active]

    def obeys(self, process: FakeProcess) -> None:
        """A process ends as it was asked to."""
        assert signal.SIGTERM in process.signals
        self.ends(process, 0)


class FakeRows:
    """The store's deployments, in memory."""

    def __init__(self, *rows: Deployment) -> None:
        self.rows = {row.id: row for row in rows}
        self.before: Callable[[], None] = lambda: None
        self.before_update: Callable[[], None] = lambda: None

    def unfinished(self) -> list[Deployment]:
        """Those that are not over."""
        self.before()
        return [row for row in self.rows.values() if not row.finished]

    def update(self, deployment_id: int, **changes: object) -> bool:
        """Change a row."""
        self.before_update()
        row = self.rows[deployment_id]
        fields = {name: getattr(row, name) for name in row.__struct_fields__}
        self.rows[deployment_id] = Deployment(**(fields | changes))
        return True


def deployment(number: int, app: int, **fields: object) -> Deployment:
    """A pending deployment."""
    values: dict[str, object] = {
        "status": "pending",
        "stage": "",
        "progress": 0,
        "message": "",
        "error_message": "",
        "created_by": "somebody",
        "created_at": "",
    }
    values |= dict.fromkeys(
        ("commit_hash", "commit_message", "image", "rollback_to", "cancelled_by")
    )
    values |= dict.fromkeys(("started_at", "finished_at")) | fields
    return Deployment(id=number, app_id=app, **values)  # type: ignore[arg-type] # see values
