"""A supervisor's surroundings without processes: a clock and fake processes."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable

from bus.broker.control import Command, SubscriptionChanged
from mist.settings import Settings
from mist.store import Deployment
from supervisor.removals import AppRemovals, Removals
from supervisor.scheduler import Rows, Scheduler
from supervisor.specs import Spec
from supervisor.supervisor import Effects, Supervisor


class FakeProcess:
    """A process that ends with the status that the test sets; records its signals."""

    def __init__(self, pid: int, spec: Spec, resume: bool) -> None:
        self.pid = pid
        self.spec = spec
        self.resume = resume
        self.signals: list[int] = []
        self.code: int | None = None
        self.closed = False
        self.beat: float | None = None

    @property
    def sentinel(self) -> int:
        """Return a descriptor that is not waited for."""
        return -1

    def last_beat(self) -> float | None:
        """Return the time that the test has set."""
        return self.beat

    def exit_code(self) -> int | None:
        """Return the status that the test has set."""
        return self.code

    def send_signal(self, number: int) -> None:
        """Record the signal; the test decides what follows."""
        self.signals.append(number)

    def close(self) -> None:
        """Record that it was closed."""
        self.closed = True


class World:
    """The clock, every started process, and what the broker and the collectors were told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.started: list[FakeProcess] = []
        self.told: list[Command] = []
        self.deploying: list[frozenset[int]] = []
        self.refuse_to_start: Exception | None = None
        self.missing: set[int] = set()
        self.moved: set[int] = set()
        self._pids = itertools.count(100)

    def clock(self) -> float:
        """Return the time that the test has set."""
        return self.now

    def start(self, spec: Spec, resume: bool) -> FakeProcess:
        """Start a fake process."""
        if self.refuse_to_start is not None:
            raise self.refuse_to_start
        process = FakeProcess(next(self._pids), spec, resume)
        self.started.append(process)
        return process

    def refresh(self, deploying: frozenset[int]) -> set[int]:
        """Record what is being deployed; return the applications with another container once."""
        self.deploying.append(deploying)
        moved, self.moved = self.moved, set()
        return moved

    @property
    def last(self) -> FakeProcess:
        """The process that was started last."""
        return self.started[-1]

    def supervisor(
        self, settings: Settings, rows: Rows | None = None, apps: AppRemovals | None = None
    ) -> Supervisor:
        """Return a supervisor in this world."""
        scheduler = Scheduler(rows, settings, self.clock) if rows else None
        return Supervisor(
            settings,
            Effects(
                start=self.start,
                clock=self.clock,
                tell=self.told.append,
                next_token=itertools.count(1).__next__,
                scheduler=scheduler,
                refresh=self.refresh,
                look_up=lambda _app_ids: None,
                exists=lambda app_id: app_id not in self.missing,
                removals=Removals(apps, settings, self.clock) if apps else None,
            ),
        )


class History:
    """A supervisor with passing time and events."""

    def __init__(
        self, settings: Settings, rows: Rows | None = None, apps: AppRemovals | None = None
    ) -> None:
        self.world = World()
        self.supervisor = self.world.supervisor(settings, rows, apps)

    def subscribe(self, prefix: bytes) -> None:
        """Report a topic's first subscriber."""
        self.supervisor.subscription_changed(SubscriptionChanged(True, prefix))

    def unsubscribe(self, prefix: bytes) -> None:
        """Report the end of a topic's last subscription."""
        self.supervisor.subscription_changed(SubscriptionChanged(False, prefix))

    def ends(self, process: FakeProcess, code: int) -> None:
        """End a process."""
        process.code = code
        self.supervisor.reap()
        assert process.closed

    def passes(self, seconds: float) -> None:
        """Advance the time, and let the loop handle each timer on the way."""
        end = self.world.now + seconds
        while (due := self.supervisor.due()) is not None and due <= end:
            self.world.now = max(self.world.now, due)
            self.supervisor.tick()
        self.world.now = end
        self.supervisor.tick()

    def running(self) -> list[str]:
        """Return the names of the children that have a process."""
        return [child.spec.name for child in self.supervisor.children.values() if child.active]

    def obeys(self, process: FakeProcess) -> None:
        """Let a process end as it was asked to."""
        assert signal.SIGTERM in process.signals
        self.ends(process, 0)


class FakeRows:
    """The store's deployments in memory."""

    def __init__(self, *rows: Deployment) -> None:
        self.rows = {row.id: row for row in rows}
        self.before: Callable[[], None] = lambda: None
        self.before_update: Callable[[], None] = lambda: None

    def unfinished(self) -> list[Deployment]:
        """Return the deployments that have not ended."""
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
    """Return a pending deployment."""
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
