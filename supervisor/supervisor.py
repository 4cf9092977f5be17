"""The supervisor: a table of children, and the reaction to each event.

It does no I/O of its own.  The loop calls it with changed subscriptions, ended
processes and the passing of time.  It starts and stops processes and sends commands to
the broker through the injected :class:`Effects`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from typing import Final, NamedTuple

import structlog

from bus import topics
from bus.broker.control import Command, DropTopic, RejectTopic, SubscriptionChanged
from bus.topics import Demand
from mist import close_codes, messages
from mist.settings import Settings
from mist.store import Deployment
from supervisor import specs
from supervisor.child import Child, Clock
from supervisor.child import Start as StartProcess
from supervisor.demand import Demands
from supervisor.patience import Patience
from supervisor.removals import Removals
from supervisor.scheduler import Scheduler, Start
from supervisor.specs import Policy, Spec
from supervisor.states import State
from supervisor.watch import Watch

log = structlog.get_logger(__name__)


class Effects(NamedTuple):
    """The functions and objects through which the supervisor acts."""

    start: StartProcess
    clock: Clock
    tell: Callable[[Command], None]
    """Send the broker a command; dropped while the broker is away, because it starts empty."""
    next_token: Callable[[], int]
    """Return a fencing token that is larger than all before."""
    scheduler: Scheduler | None
    refresh: Callable[[frozenset[int]], Collection[int]]
    """Update the collectors' notices; takes the applications that are being deployed.

    Return those that have another container now.
    """
    look_up: Callable[[Collection[int]], None]
    """Find out which of these applications exist."""
    exists: Callable[[int], bool]
    """Return True if an application existed at the last ``look_up``, or may exist."""
    removals: Removals | None = None


# The collectors, which exist as long as there is a demand for what they collect, and what
# clients are told of one that cannot run.
_COLLECTORS: Final[dict[str | None, str]] = {
    "container": "log collector",
    "containers": "container collector",
    "stats": "statistics collector",
}

# The applications that do not exist, of which so many are looked for at a time.
_ABSENT: Final = 100


class Supervisor:
    """Starts, watches, restarts and stops the children of one service."""

    def __init__(self, settings: Settings, effects: Effects) -> None:
        self.children: dict[str, Child] = {}
        self.stopping = False
        self.exit_status = 0
        self.reason = ""
        """Why the service ends without being asked to."""
        self._settings = settings
        self._effects = effects
        self._demands = Demands(settings.collector.linger_seconds)
        self._refused: dict[Demand, None] = {}
        self._absent: dict[Demand, None] = {}  # their applications may still be added
        self._next_look = effects.clock()
        self.watch = Watch(effects.clock)
        self._patience = Patience(settings.deployments)
        self._overdue: dict[int, str] = {}

    # Adding children

    def add(self, spec: Spec, why: str = "always", *, resume: bool = False) -> Child:
        """Put a child into the table and start it."""
        child = Child(spec, self._settings.supervisor, self._effects.start, self._effects.clock)
        self.children[spec.name] = child
        self._begin(child, why, resume=resume)
        return child

    def running_deployments(self) -> set[int]:
        """Return the deployments in the table, in any state."""
        return {c.spec.target for c in self.children.values() if c.spec.kind == "deployment"}

    def run_deployment(self, action: Start) -> None:
        """Start a deployment's runner."""
        why = "cleans up" if action.resume else "deploys"
        spec = specs.deployment(self._settings, action.deployment_id)
        spec = spec._replace(reason=self._overdue.get(action.deployment_id, ""))
        self.add(spec, why, resume=action.resume)

    def dismiss(self, child: Child, why: str) -> None:
        """Stop a child, and forget it once it has no process."""
        child.stop(why)
        self._conclude(child)

    # Events

    def subscription_changed(self, change: SubscriptionChanged) -> None:
        """Handle a subscription, or the end of the last subscription to a prefix."""
        demand = self._demands.apply(change, self._effects.clock())
        if demand is None or self.stopping:
            return
        if demand.kind == "deployment":
            # A client may watch a deployment that was just created; read the queue at once.
            self._next_look = self._effects.clock()
        elif demand.kind in _COLLECTORS:
            self._want(demand)

    def broker_restarted(self) -> None:
        """Expect the subscribers of the old broker to reconnect to the new one."""
        self._demands.restart(self._effects.clock())

    def reap(self) -> None:
        """Handle every process that has ended."""
        for child in list(self.children.values()):  # a copy: settling may remove children
            if child.reap():
                self._conclude(child)

    def tick(self) -> None:
        """Do everything that is due."""
        for child in list(self.children.values()):
            if child.tick():
                self._conclude(child)
        for child, silence in self.watch.look(self.children.values()):
            child.hang(silence)
            self._conclude(child)
        now = self._effects.clock()
        for demand in self._demands.expire(now):
            self._unwanted(demand)
        if not self.stopping:
            self._forget_old_failures(now)
            self._look(now)

    def due(self) -> float | None:
        """Return the clock's time at which ``tick`` has to be called next; None for never."""
        times = [child.due for child in self.children.values() if child.due is not None]
        if any(child.watched for child in self.children.values()):
            times.append(self.watch.due)
        lingering = self._demands.due()
        if lingering is not None:
            times.append(lingering)
        if self._effects.scheduler is not None and not self.stopping:
            times.append(self._next_look)
        return min(times, default=None)

    # Shutdown

    def stop(self, exit_status: int = 0) -> None:
        """Begin an orderly shutdown, phase by phase, each bounded in time."""
        if self.stopping:
            return
        self.stopping = True
        self.exit_status = exit_status
        # Children in backoff or failed have no process whose end would remove them.
        for child in list(self.children.values()):
            if not child.active:
                self._drop(child)
        self._stop_phase()

    def kill(self) -> None:
        """Kill all processes at once."""
        self.stop()
        for child in self.children.values():  # of all phases, not only the current one
            child.kill()

    @property
    def stopped(self) -> bool:
        """Return True if the shutdown is complete."""
        return self.stopping and not self.children

    # Internals

    def _begin(self, child: Child, why: str, *, resume: bool = False) -> None:
        child.start(why, resume=resume)
        self._conclude(child)

    def _conclude(self, child: Child) -> None:
        """React to a child's new state."""
        if self.stopping:
            if not child.active:
                self._drop(child)
            _report(child, quiet=True)
            self._stop_phase()  # this end may have completed a phase
            return
        refused = child.refusals if child.state is State.BACKOFF else 0
        if refused > 1:
            return  # reported, and tried again every second
        _report(child, quiet=False)
        if refused:
            self._refused_start(child)
        elif child.state is State.FAILED:
            self._failed(child)
        elif child.state in {State.FINISHED, State.IDLE}:
            self._remove(child)

    def _refused_start(self, child: Child) -> None:
        """Tell the subscribers of a collector that the system is short of something."""
        if child.spec.kind in _COLLECTORS:
            called = _COLLECTORS[child.spec.kind]
            self._refuse(specs.topic(child.spec), f"The {called} {child.why}; it is tried again")

    def _failed(self, child: Child) -> None:
        # A failed collector stays in the table, so that new subscribers do not restart it.
        spec = child.spec
        if spec.essential:
            self.reason = child.reason or f"{spec.name} {child.why}; the log above says more"
            self.stop(child.exit_status)
        elif spec.kind == "deployment" and self._effects.scheduler is not None:
            self._effects.scheduler.lost(spec.target)
        elif spec.kind in _COLLECTORS:
            self._refuse(specs.topic(spec), f"The {_COLLECTORS[spec.kind]} failed: {child.why}")

    def _remove(self, child: Child) -> None:
        spec = child.spec
        del self.children[spec.name]
        if spec.kind == "deployment":
            self._next_look = self._effects.clock()  # the next deployment may start
            # Viewers may still ask for replays; _unwanted drops the topic after the last one.
            if not self._demands.known(Demand("deployment", spec.target)):
                self._forget(specs.topic(spec))
        elif (demand := specs.demand_of(spec)) is not None:
            # Without a collector, its source moves on and the broker's memory becomes outdated.
            self._forget(specs.topic(spec))
            self._want_again(demand)

    def _want(self, demand: Demand) -> None:
        """Handle a new subscription to what a collector publishes."""
        if specs.name(demand) in self.children:
            return
        # Only a collector can find out if the engine has a container of this name.
        if demand.kind != "container" or demand.name or self._effects.exists(demand.id):
            self._absent.pop(demand, None)
            self._collect(demand)
        else:
            self._absent[demand] = None
            # Not kept: a flood of such subscriptions must not displace the broker's buffers.
            text = messages.error("Application not found")
            topic = topics.container_log(demand.id)
            self._effects.tell(RejectTopic(topic, text, close_codes.NOT_FOUND, keep=False))

    def _look_for_absent(self) -> None:
        """Start the collectors of applications that were added after their first subscriber."""
        # A few at a time, because anybody may subscribe to any number.
        some = list(islice(self._absent, _ABSENT))
        if some:
            self._effects.look_up([demand.id for demand in some])
        for demand in some:
            del self._absent[demand]
            if not self._demands.wanted(demand):
                continue
            if self._effects.exists(demand.id):
                self._collect(demand)
            else:
                self._absent[demand] = None  # behind the others

    def _collect(self, demand: Demand) -> None:
        if self._effects.removals is not None and demand.id in self._effects.removals.wanted:
            self._refuse_removed(demand.id)
            return
        spec = specs.of_demand(self._settings, demand)
        if self._room(demand):
            self._refused.pop(demand, None)
            self.add(spec, "subscribed")
        elif demand.name:
            self._refused[demand] = None
            # Anybody may make up names, so the error is not kept, and told to each subscriber.
            self._refuse(specs.topic(spec), "Too many collectors", keep=False)
        elif demand not in self._refused:
            # Once for each demand: later subscribers find the error in the broker's replay.
            self._refused[demand] = None
            self._refuse(specs.topic(spec), "Too many collectors")

    def _room(self, demand: Demand) -> bool:
        """Return True if another collector of this kind may run; logs and figures apart."""
        limits = self._settings.collector
        limit = {
            "container": limits.max_running,
            "stats": self._settings.containers.max_running,
        }.get(demand.kind, 1)
        running = [c.spec for c in self.children.values() if c.spec.kind == demand.kind]
        if len(running) >= limit:
            return False
        if demand.kind != "container" or not demand.name:
            return True
        # Names must not take the places of applications.
        return sum(bool(spec.container) for spec in running) < limits.max_named

    def _want_again(self, freed: Demand) -> None:
        """Give the place of a collector that has ended to another demand."""
        # First to new subscribers of the same log, then to the demand refused first.
        waiting = [freed, *self._refused]
        for demand in waiting:
            if self._demands.wanted(demand) and self._room(demand):
                self._collect(demand)
                return

    def _unwanted(self, demand: Demand) -> None:
        """Stop the collector of a demand whose linger time is over."""
        self._refused.pop(demand, None)
        self._absent.pop(demand, None)
        child = self.children.get(specs.name(demand))
        if child is None:
            self._forget(specs.topic(specs.of_demand(self._settings, demand)))
        elif demand.kind in _COLLECTORS:  # a deployment runs to its end without viewers
            child.stop("no subscribers")
            self._conclude(child)

    def _forget(self, topic: bytes) -> None:
        # With a token of now, so that the claim of a collector started later survives.
        self._effects.tell(DropTopic(topic, self._effects.next_token()))

    def _refuse(
        self,
        topic: bytes,
        text: str,
        code: int = close_codes.TRY_AGAIN_LATER,
        *,
        keep: bool = True,
    ) -> None:
        self._effects.tell(RejectTopic(topic, messages.error(text), code, keep))

    def _look(self, now: float) -> None:
        scheduler = self._effects.scheduler
        if scheduler is None or now < self._next_look:
            return
        self._next_look = now + self._settings.supervisor.poll_seconds
        deploying = scheduler.look(self.running_deployments(), self.run_deployment)
        if deploying is not None:
            self._end_former(self._effects.refresh(deploying))
            self._look_for_absent()
            self._end_overdue(scheduler.unfinished, now)
            self._remove_apps({row.app_id for row in scheduler.unfinished})

    def _remove_apps(self, deploying: Collection[int]) -> None:
        """End the logs of applications that are to be removed, and start their removal."""
        removals = self._effects.removals
        if removals is None:
            return
        running = {c.spec.target for c in self.children.values() if c.spec.kind == "removal"}
        before = removals.wanted
        due = removals.look(running, deploying)
        # Before the containers stop, whose end would look like any other.
        for app_id in removals.wanted - before:
            self._refuse_removed(app_id)
            self._end_log(app_id, "its application is removed")
        for app_id in due:
            self.add(specs.removal(self._settings, app_id), "removes")

    def _end_former(self, app_ids: Collection[int]) -> None:
        """End the logs of containers that their applications do not have any more."""
        for app_id in app_ids:
            # Clients that connect again get the log of the other container, once this
            # collector has ended.
            self._refuse(topics.container_log(app_id), messages.ANOTHER_CONTAINER)
            self._end_log(app_id, "its application has another container")

    def _end_log(self, app_id: int, why: str) -> None:
        """Stop the collector of an application's log, if there is one."""
        child = self.children.get(specs.name(Demand("container", app_id)))
        if child is not None:
            child.stop(why)
            self._conclude(child)

    def _refuse_removed(self, app_id: int) -> None:
        topic = topics.container_log(app_id)
        self._refuse(topic, messages.APPLICATION_REMOVED, close_codes.NOT_FOUND, keep=False)

    def _end_overdue(self, rows: Collection[Deployment], now: float) -> None:
        """End the runners that were cancelled or are over their time, and do not notice."""
        # Not those that clean up: they end what was cancelled, and are brief.
        runners = {
            child.spec.target: child
            for child in self.children.values()
            if child.spec.kind == "deployment"
            and child.state is State.RUNNING
            and not child.resumes
        }
        unfinished = {row.id for row in rows}
        self._overdue = {n: why for n, why in self._overdue.items() if n in unfinished}
        for number, reason in self._patience.over(rows, runners, now).items():
            self._overdue[number] = reason
            runners[number].stop(reason)
            self._conclude(runners[number])

    def _forget_old_failures(self, now: float) -> None:
        """Remove failed runners that ``mist status`` has shown for one crash window."""
        window = self._settings.supervisor.crash_window_seconds
        for child in list(self.children.values()):
            one_shot = child.spec.policy is Policy.ONE_SHOT
            if one_shot and child.state is State.FAILED and now >= child.since + window:
                child.stop("forgotten")
                self._conclude(child)

    def _drop(self, child: Child) -> None:
        """Remove a child without a process during a shutdown."""
        child.stop("shutdown")
        del self.children[child.spec.name]

    def _stop_phase(self) -> None:
        """Stop the children of the earliest phase that has any."""
        phase = min((child.spec.phase for child in self.children.values()), default=None)
        for child in self.children.values():
            if child.spec.phase is phase:
                child.stop("shutdown")


def _report(child: Child, *, quiet: bool) -> None:
    """Log a child's new state, as a warning if it is trouble.

    With ``quiet``, during a shutdown, no end is trouble.
    """
    trouble = child.state in {State.BACKOFF, State.HUNG, State.FAILED, State.KILLING} and not quiet
    say = log.warning if trouble else log.info
    say(str(child.state), child=child.spec.name, why=child.why, pid=child.pid)
