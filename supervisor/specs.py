"""The child specifications: what to run, under which policy, and how to stop it."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final, NamedTuple

from bus import topics
from bus.topics import Demand
from mist import process
from mist.settings import Settings


class Policy(Enum):
    """When to run a child."""

    PERMANENT = "permanent"
    """Until the supervisor stops it; even a clean exit is a crash."""
    ONE_SHOT = "one-shot"
    """Until it succeeds or is given up; never again."""


class Phase(IntEnum):
    """Shutdown order: a process stops before the processes it depends on."""

    WEB = 1
    COLLECTORS = 2
    SAMPLER = 3
    BROKER = 4
    FORK_SERVER = 5


# The names in the table of the two children that are programs and not forked workers.
WEB: Final = "gunicorn"
FORK_SERVER: Final = "fork-server"


class Spec(NamedTuple):
    """One kind of child, or one particular child of a kind."""

    name: str
    """The key of the table, such as ``container/12``."""
    kind: process.ProcessKind | None
    """The kind in the assignment; None for a separate program."""
    target: int
    entry: str
    policy: Policy
    phase: Phase
    stop_seconds: float
    crash_limit: int
    hang_seconds: float
    """How long its loop may stand still before it is killed and restarted."""
    essential: bool = False
    """The whole service ends when this child cannot run."""
    reason: str = ""
    """Why the supervisor ended the process before; for the one that resumes its work."""
    container: str = ""
    """The name of the container whose figures a collector reads."""


def fork_server(settings: Settings) -> Spec:
    """Return the specification of the fork server, which starts all workers."""
    limits = settings.supervisor
    return Spec(
        FORK_SERVER,
        None,
        0,
        "",
        Policy.PERMANENT,
        Phase.FORK_SERVER,
        limits.stop_seconds,
        limits.crash_limit,
        limits.hang_seconds,
        essential=True,
    )


def broker(settings: Settings) -> Spec:
    """Return the specification of the broker, without which nothing works."""
    return _worker(settings, "broker", 0, Policy.PERMANENT, Phase.BROKER)._replace(essential=True)


def tap(settings: Settings) -> Spec:
    """Return the specification of the tap, which only ``bus.tap_bind`` starts."""
    return _worker(settings, "tap", 0, Policy.PERMANENT, Phase.SAMPLER)


def metrics(settings: Settings) -> Spec:
    """Return the specification of the sampler of the host's metrics."""
    return _worker(settings, "metrics", 0, Policy.PERMANENT, Phase.SAMPLER)


def web(settings: Settings) -> Spec:
    """Return the specification of gunicorn, which ``mist up`` runs as a child."""
    limits = settings.supervisor
    # gunicorn grants its workers graceful_timeout; killing it earlier would cut them off.
    patience = max(limits.stop_seconds, settings.server.graceful_timeout + 3.0)
    return Spec(
        WEB,
        None,
        0,
        "",
        Policy.PERMANENT,
        Phase.WEB,
        patience,
        limits.crash_limit,
        limits.hang_seconds,
        essential=True,
    )


def container(settings: Settings, app_id: int) -> Spec:
    """Return the specification of the collector of an application's container log."""
    return _worker(settings, "container", app_id, Policy.PERMANENT, Phase.COLLECTORS)


def containers(settings: Settings) -> Spec:
    """Return the specification of the collector of the host's containers."""
    return _worker(settings, "containers", 0, Policy.PERMANENT, Phase.COLLECTORS)


def stats(settings: Settings, container_name: str) -> Spec:
    """Return the specification of the collector of a container's figures."""
    spec = _worker(settings, "stats", 0, Policy.PERMANENT, Phase.COLLECTORS)
    return spec._replace(
        name=f"stats/{container_name}",
        container=container_name,
        # One package has both collectors, because they read the same figures.
        entry="workers.containers.main:stats",
    )


def of_demand(settings: Settings, demand: Demand) -> Spec:
    """Return the specification of the child that serves a demand."""
    if demand.kind == "containers":
        return containers(settings)
    if demand.kind == "stats":
        return stats(settings, demand.name)
    return (container if demand.kind == "container" else deployment)(settings, demand.id)


def demand_of(spec: Spec) -> Demand | None:
    """Return the demand that a collector serves; None for other children."""
    if spec.kind == "container":
        return Demand("container", spec.target)
    if spec.kind == "containers":
        return Demand("containers")
    return Demand("stats", name=spec.container) if spec.kind == "stats" else None


def deployment(settings: Settings, deployment_id: int) -> Spec:
    """Return the specification of the runner of a deployment."""
    spec = _worker(settings, "deployment", deployment_id, Policy.ONE_SHOT, Phase.COLLECTORS)
    # After a crash the runner is started once more, to clean up.
    return spec._replace(crash_limit=2, hang_seconds=settings.deployments.hang_seconds)


def reader(settings: Settings, number: int) -> Spec:
    """Return the specification of a reader of older lines."""
    spec = _worker(settings, "reader", number, Policy.ONE_SHOT, Phase.COLLECTORS)
    # A crash breaks the answer off, and another process could not continue it.
    return spec._replace(crash_limit=1)


def name(demand: Demand) -> str:
    """Return the name of the child that serves a demand."""
    target = demand.id or demand.name
    return f"{demand.kind}/{target}" if target else demand.kind


def topic(spec: Spec) -> bytes:
    """Return the topic that a child publishes; empty if it publishes none."""
    if spec.kind == "container":
        return topics.container_log(spec.target)
    if spec.kind == "deployment":
        return topics.deployment_log(spec.target)
    if spec.kind == "containers":
        return topics.CONTAINERS
    if spec.kind == "stats":
        return topics.container_stats(spec.container)
    return topics.METRICS if spec.kind == "metrics" else b""


def _worker(
    settings: Settings, kind: process.ProcessKind, target: int, policy: Policy, phase: Phase
) -> Spec:
    package = f"bus.{kind}" if kind in {"broker", "tap"} else f"workers.{kind}"
    limits = settings.supervisor
    return Spec(
        f"{kind}/{target}" if target else kind,
        kind,
        target,
        f"{package}.main:main",
        policy,
        phase,
        limits.stop_seconds,
        limits.crash_limit,
        limits.hang_seconds,
    )
