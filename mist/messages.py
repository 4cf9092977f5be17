"""The messages of the public contract that clients receive.

This is the only module that encodes and decodes them.  A message is one JSON object
without a newline: a line in the body of a bus message, and the payload of a WebSocket
text frame.  The ``read_…`` functions raise msgspec.DecodeError for any other message.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from mist import clock, uptime

Stream = Literal["stdout", "stderr"]

SkipReason = Literal["slow", "rotated", "engine", "restart"]
"""Why lines were skipped: a slow client, rotated log files, the engine, or a restart of ours."""

# Part of the contract: clients show these as they are.
_SKIPPED: Final[dict[SkipReason, str]] = {
    "slow": "connection too slow",
    "rotated": "rotated away before they were read",
    "engine": "no longer in the log of the Docker Engine",
    "restart": "lost in a restart of Mist",
}

# The errors of streams whose application names another container now, or is gone.
ANOTHER_CONTAINER: Final = "The application has another container now; connect again"
APPLICATION_REMOVED: Final = "The application was removed"

# The number of skipped lines if nobody can know it.
UNKNOWN: Final = 0

_encode: Final = msgspec.json.Encoder().encode

_LOG_HEAD: Final = b'{"type":"log","timestamp":"'
_LOG_MIDDLE: Final = b'","data":{"line":'
_LOG_TAILS: Final[dict[str, bytes]] = {
    "stdout": b',"stream":"stdout"}}',
    "stderr": b',"stream":"stderr"}}',
}
# The position of the 30-character timestamp in an encoded log message.
LOG_TIMESTAMP: Final = slice(len(_LOG_HEAD), len(_LOG_HEAD) + 30)


class ContainerStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """``data`` of a container's ``status``; ``status`` is text such as "Up 2 hours"."""

    container: str
    state: str
    status: str
    deployment_id: int | None = None
    """The deployment that made the container, if one of this installation did."""


class ContainerRun(msgspec.Struct, frozen=True):
    """The run of a container that a ``status`` describes.

    It is on the bus only; the web tier and the terminal make of it a status as of now.
    """

    id: str
    started: str
    health: str
    began: str
    """The time at which the duration in ``status`` began; empty if it has none."""


class DeploymentStatus(msgspec.Struct, frozen=True):
    """``data`` of a deployment's ``status``; ``progress`` is in percent, 0 to 100."""

    deployment_id: int
    status: Literal["pending", "building", "deploying", "success", "failed"]
    stage: str
    progress: int
    message: str
    error_message: str = ""


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
    """The engine's object counts; None while it is unreachable."""

    containers_running: int | None
    containers_total: int | None
    images: int | None


class MetricsSample(msgspec.Struct, frozen=True):
    """A sample of the host's metrics.  It is the whole message and has no ``type``."""

    timestamp: str
    cpu: Cpu
    memory: Space
    disk: Space
    docker: Docker


class Figures(msgspec.Struct, frozen=True):
    """What a container uses; bytes are counted since its start, except those of memory."""

    cpu_percent: float
    """100 for each core."""
    memory_used: int
    """Without the page cache."""
    memory_limit: int
    memory_percent: float
    network_rx: int
    network_tx: int
    block_read: int
    block_write: int
    pids: int


class HostContainer(msgspec.Struct, frozen=True):
    """A container of the host, as clients see it; None where it has no such property."""

    id: str
    name: str
    image: str
    state: str
    status: str
    """The engine's phrase, such as "Up 2 hours"."""
    health: str | None
    """``starting``, ``healthy`` or ``unhealthy``."""
    created: str
    started: str | None
    project: str | None
    """Of Docker Compose, as is ``service``."""
    service: str | None
    app_id: int | None = None
    """The application whose container it is; None on the bus."""


class LogLine(msgspec.Struct, frozen=True):
    """``data`` of a ``log`` message: the text without its newline, and the stream."""

    line: str
    stream: Stream = "stdout"


class LogMessage(msgspec.Struct, frozen=True):
    """A ``log`` message with its RFC 3339 timestamp."""

    timestamp: str
    data: LogLine


class _Envelope(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    data: object


class _ContainerStatusMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    timestamp: str
    data: ContainerStatus
    run: ContainerRun | None = None


class _Listed(msgspec.Struct, frozen=True):
    containers: Sequence[HostContainer]


class _ContainersMessage(msgspec.Struct, frozen=True):
    type: Literal["containers"]
    timestamp: str
    data: _Listed
    began: list[str]
    """On the bus only: the time at which the duration in each ``status`` began, or nothing."""


class _AllFigures(msgspec.Struct, frozen=True):
    stats: dict[str, Figures]


class _AllFiguresMessage(msgspec.Struct, frozen=True):
    type: Literal["stats"]
    timestamp: str
    data: _AllFigures


class _DeploymentStatusMessage(msgspec.Struct, frozen=True):
    data: DeploymentStatus


class _Text(msgspec.Struct, frozen=True):
    message: str


class _Notice(msgspec.Struct, frozen=True):
    data: _Text


_log: Final = msgspec.json.Decoder(LogMessage)
_status: Final = msgspec.json.Decoder(_ContainerStatusMessage)
_deployment_status: Final = msgspec.json.Decoder(_DeploymentStatusMessage)
_notice: Final = msgspec.json.Decoder(_Notice)
_metrics: Final = msgspec.json.Decoder(MetricsSample)
_containers: Final = msgspec.json.Decoder(_ContainersMessage)
_all_figures: Final = msgspec.json.Decoder(_AllFiguresMessage)


def log(timestamp: str, line: str, stream: Stream) -> bytes:
    """Return a ``log`` message.

    Joined by hand, because every line passes through here.
    """
    return b"".join((_LOG_HEAD, timestamp.encode(), _LOG_MIDDLE, _encode(line), _LOG_TAILS[stream]))


def positioned(message: bytes, position: str) -> bytes:
    """Return a message of :func:`log` with the position of its line."""
    return b'%b,"pos":"%b"}}' % (message[:-2], position.encode())


# The engine's errors have any length, and the broker refuses a message of more than
# ``bus.wire.MAX_MESSAGE_BYTES``.
_ERROR_CHARACTERS: Final = 16_384


def status(data: ContainerStatus | DeploymentStatus) -> bytes:
    """Return a ``status`` message with the current time."""
    return _encode(_Envelope("status", clock.now(), data))


def past_status(timestamp: str, data: ContainerStatus) -> bytes:
    """Return a ``status`` message about a time among older lines."""
    return _encode(_Envelope("status", timestamp, data))


def container_status(data: ContainerStatus, run: ContainerRun) -> bytes:
    """Return a container's ``status`` message for the bus, with the current time."""
    return _encode(_ContainerStatusMessage("status", clock.now(), data, run))


def current_status(message: bytes) -> bytes:
    """Return a container's ``status`` message for a client, as of now.

    ``message`` may have been on the bus long ago.
    """
    return status(read_status(message))


def error(message: str) -> bytes:
    """Return an ``error`` message with the current time; a long text is cut."""
    if len(message) > _ERROR_CHARACTERS:
        message = f"{message[:_ERROR_CHARACTERS]} … [truncated]"
    return _encode(_Envelope("error", clock.now(), {"message": message}))


def end(message: str = "Log stream ended") -> bytes:
    """Return an ``end`` message with the current time."""
    return _encode(_Envelope("end", clock.now(), {"message": message}))


def skipped(lines: int, reason: SkipReason = "slow") -> bytes:
    """Return the message that tells a client that ``lines`` were left out, and why.

    ``lines`` may be UNKNOWN.
    """
    data = {"lines": lines, "reason": reason, "message": skipped_text(lines, reason)}
    return _encode(_Envelope("skipped", clock.now(), data))


def skipped_text(lines: int, reason: SkipReason) -> str:
    """Return the sentence that says how many lines were left out, and why."""
    noun = "line" if lines == 1 else "lines"
    count = "An unknown number of" if lines == UNKNOWN else str(lines)
    return f"{count} {noun} skipped: {_SKIPPED[reason]}"


def metrics(sample: MetricsSample) -> bytes:
    """Return a metrics message."""
    return _encode(sample)


def containers_on_bus(listed: Sequence[HostContainer], began: list[str]) -> bytes:
    """Return the ``containers`` message for the bus, with the current time.

    ``began`` holds the time at which the duration in each ``status`` began, or nothing.
    """
    return _encode(_ContainersMessage("containers", clock.now(), _Listed(listed), began))


def containers(listed: Sequence[HostContainer]) -> bytes:
    """Return the ``containers`` message for clients, with the current time."""
    return _encode(_Envelope("containers", clock.now(), _Listed(listed)))


def all_figures(figures: Mapping[str, Figures]) -> bytes:
    """Return the ``stats`` message of all containers, by id, with the current time."""
    return _encode(_Envelope("stats", clock.now(), {"stats": figures}))


def figures(sample: Figures) -> bytes:
    """Return the ``stats`` message of one container, with the current time."""
    return _encode(_Envelope("stats", clock.now(), sample))


def log_timestamp(message: bytes) -> str:
    """Return the timestamp of a message that :func:`log` made; for other bytes, garbage."""
    return message[LOG_TIMESTAMP].decode("ascii", "replace")


def has_type(message: bytes, name: Literal["log", "status", "error"]) -> bool:
    """Return True if a message that this module made is of a type."""
    return message.startswith(b'{"type":"%b"' % name.encode())


def read_log(message: bytes) -> LogMessage:
    """Decode a ``log`` message."""
    return _log.decode(message)


def read_status(message: bytes) -> ContainerStatus:
    """Decode the data of a container's ``status`` message, as of now."""
    found = _status.decode(message)
    if found.run is None:
        return found.data
    words = uptime.as_of(time.time_ns(), found.data.status, found.run.began)
    return msgspec.structs.replace(found.data, status=words)


def read_run(message: bytes) -> tuple[str, ContainerRun | None]:
    """Return the engine's state in a container's ``status`` message, and the run."""
    found = _status.decode(message)
    return found.data.state, found.run


def read_deployment_status(message: bytes) -> DeploymentStatus:
    """Return what a deployment's ``status`` message says."""
    return _deployment_status.decode(message).data


def read_text(message: bytes) -> str:
    """Return the text of an ``end``, ``error`` or ``skipped`` message."""
    return _notice.decode(message).data.message


def read_metrics(message: bytes) -> MetricsSample:
    """Decode a metrics message."""
    return _metrics.decode(message)


def read_containers(message: bytes) -> list[HostContainer]:
    """Decode a ``containers`` message of the bus, as of now."""
    found = _containers.decode(message)
    now = time.time_ns()
    return [
        msgspec.structs.replace(each, status=uptime.as_of(now, each.status, began))
        for each, began in zip(found.data.containers, found.began, strict=True)
    ]


def read_all_figures(message: bytes) -> dict[str, Figures]:
    """Decode the ``stats`` message of all containers."""
    return _all_figures.decode(message).data.stats
