"""The typed messages that streams yield.

Times are the engine's or the service's: RFC 3339, UTC, nine digits of a second, so that
their order as text is their order in time.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mist_client.errors import Reason

# ------------------------------------------------------------------ all streams


class Reconnecting(msgspec.Struct, frozen=True):
    """There is no connection; the next attempt comes in ``delay`` seconds."""

    reason: Reason
    delay: float


class Reconnected(msgspec.Struct, frozen=True):
    """The stream goes on after a lost connection; this comes before what follows.

    ``missing`` is the number of lines or samples that are lost for good, normally 0, and
    ``downtime`` the seconds without a connection.  Lines that are missing are also told by
    a :class:`Skipped`.
    """

    missing: int
    exact: bool
    """False if ``missing`` is only what is certain, or a guess."""
    downtime: float


class End(msgspec.Struct, frozen=True):
    """The container stopped; nothing follows."""

    time: str
    message: str


# ------------------------------------------------------------------------- logs


class LogLine(msgspec.Struct, frozen=True):
    """A line, with the engine's time."""

    time: str
    stream: Literal["stdout", "stderr"]
    line: str
    pos: str | None = None
    """The position: as ``since``, it continues exactly after this line.

    None in the log of a deployment and for some older lines.
    """


class ContainerStatus(msgspec.Struct, frozen=True):
    """The state of the container: at each connection, and when it changes."""

    time: str
    container: str
    state: str
    """The engine's word: ``running``, ``exited``, ``paused``, …"""
    status: str
    """For people, such as "Up 2 hours"."""
    deployment_id: int | None = None


class Skipped(msgspec.Struct, frozen=True):
    """Lines are missing at this point of the stream.

    ``reason`` is the service's (``slow``, ``rotated``, ``engine``, ``restart``), or
    ``forgotten`` if it no longer remembers lines that were written while there was no
    connection, or since the time that was asked for.
    """

    time: str
    lines: int
    exact: bool
    """False if it is only known that at least ``lines`` are missing."""
    reason: str
    message: str


# ------------------------------------------------------------------ deployments


class DeploymentStatus(msgspec.Struct, frozen=True):
    """The state of a deployment; ``progress`` is in percent and never goes back."""

    time: str
    deployment_id: int
    status: Literal["pending", "building", "deploying", "success", "failed"]
    stage: str
    progress: int
    message: str
    error_message: str = ""

    @property
    def finished(self) -> bool:
        """True for ``success`` and ``failed``."""
        return self.status in {"success", "failed"}


# ---------------------------------------------------------------------- metrics


class Cpu(msgspec.Struct, frozen=True):
    """``usage`` is the percentage over all cores together, 0 to 100."""

    usage: float
    cores: int


class Space(msgspec.Struct, frozen=True):
    """Bytes of memory or disk; ``percent`` is ``used`` of ``total``, 0 to 100."""

    used: int
    total: int
    percent: float


class Docker(msgspec.Struct, frozen=True):
    """The numbers of the engine's objects; None while it is unreachable."""

    containers_running: int | None
    containers_total: int | None
    images: int | None


class MetricsSample(msgspec.Struct, frozen=True):
    """The host at one moment."""

    time: str = msgspec.field(name="timestamp")
    cpu: Cpu
    memory: Space
    disk: Space
    docker: Docker


# ------------------------------------------------------------------- containers


class HostContainer(msgspec.Struct, frozen=True):
    """A container of the host; None where it has no such property."""

    id: str
    name: str
    image: str
    state: str
    status: str
    health: str | None
    """``starting``, ``healthy`` or ``unhealthy``."""
    created: str
    started: str | None
    project: str | None
    """Of Docker Compose, as is ``service``."""
    service: str | None
    app_id: int | None = None
    """The application whose container it is."""


class HostContainers(msgspec.Struct, frozen=True):
    """All containers of the host: at each connection, and after every change."""

    time: str
    containers: tuple[HostContainer, ...]


class Usage(msgspec.Struct, frozen=True):
    """What a container uses; bytes are counted since its start, except those of memory."""

    cpu_percent: float
    """100 for each core, as ``docker stats`` shows it."""
    memory_used: int
    """Without the page cache."""
    memory_limit: int
    memory_percent: float
    network_rx: int
    network_tx: int
    block_read: int
    block_write: int
    pids: int


class HostUsage(msgspec.Struct, frozen=True):
    """What the running containers use, by their ids."""

    time: str
    stats: dict[str, Usage]


class UsageSample(msgspec.Struct, frozen=True):
    """What one container used at one moment."""

    time: str
    usage: Usage


Connection = Reconnecting | Reconnected
LogEvent = LogLine | ContainerStatus | Skipped | End | Connection
DeploymentEvent = LogLine | DeploymentStatus | Connection
MetricsEvent = MetricsSample | Connection
ContainersEvent = HostContainers | HostUsage | Connection
UsageEvent = UsageSample | ContainerStatus | End | Connection
