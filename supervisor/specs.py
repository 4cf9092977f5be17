"""The child specifications: what runs, under which policy, and how it is stopped."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final, NamedTuple

from bus import topics
from bus.topics import Demand
from mist import process
from mist.settings import Settings


class Policy(Enum):
    """What the end of a child means."""

    PERMANENT = "permanent"
    """It is started again whenever it ends, until the supervisor stops it."""
    ONE_SHOT = "one-shot"
    """It has finished when it ends with status 0."""


class Phase(IntEnum):
    """The order of the shutdown: who depends on somebody ends before him."""

    WEB = 1
    COLLECTORS = 2
    SAMPLER = 3
    BROKER = 4


#: The name of the web tier in the table; it is the only child that is no worker.
WEB: Final = "gunicorn"


class Spec(NamedTuple):
    """One kind of child, or one particular child of a kind."""

    name: str
    """The key of the table, such as ``container/12``."""
    kind: process.ProcessKind | None
    """What the assignment says; None for a program of its own."""
    target: int
    entry: str
    policy: Policy
    phase: Phase
    stop_seconds: float
    crash_limit: int
    essential: bool = False
    """Whether the whole service ends when this child cannot run."""


def broker(settings: Settings) -> Spec:
    """The broker: nothing works without it."""
    return _worker(settings, "broker", 0, Policy.PERMANENT, Phase.BROKER)._replace(essential=True)


def metrics(settings: Settings) -> Spec:
    """The sampler of the host's metrics."""
    return _worker(settings, "metrics", 0, Policy.PERMANENT, Phase.SAMPLER)


def web(settings: Settings) -> Spec:
    """gunicorn, in ``mist up``; it gets the time that it grants its own workers, and a bit."""
    limits = settings.supervisor
    patience = max(limits.stop_seconds, settings.server.graceful_timeout + 3.0)
    return Spec(
        WEB, None, 0, "", Policy.PERMANENT, Phase.WEB, patience, limits.crash_limit, essential=True
    )


def container(settings: Settings, app_id: int) -> Spec:
    """The collector of an application's container log."""
    return _worker(settings, "container", app_id, Policy.PERMANENT, Phase.COLLECTORS)


def deployment(settings: Settings, deployment_id: int) -> Spec:
    """The runner of a deployment: after a crash it is started once more, to clean up."""
    spec = _worker(settings, "deployment", deployment_id, Policy.ONE_SHOT, Phase.COLLECTORS)
    return spec._replace(crash_limit=2)


def name(demand: Demand) -> str:
    """The name of the child that a demand is for."""
    return f"{demand.kind}/{demand.id}"


def topic(spec: Spec) -> bytes:
    """The topic that a child publishes, or nothing."""
    if spec.kind == "container":
        return topics.container_log(spec.target)
    if spec.kind == "deployment":
        return topics.deployment_log(spec.target)
    return topics.METRICS if spec.kind == "metrics" else b""


def _worker(
    settings: Settings, kind: process.ProcessKind, target: int, policy: Policy, phase: Phase
) -> Spec:
    package = "bus.broker" if kind == "broker" else f"workers.{kind}"
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
    )
