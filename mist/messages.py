"""The messages that clients receive, as the public contract spells them.

Encoding and decoding stand here and nowhere else.  A message is one JSON object
without a newline, ready to be a line of a bus message's body and the payload of
a WebSocket text frame.  The functions that ``read`` one raise msgspec.DecodeError
if it is not what their name says.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from mist import clock

Stream = Literal["stdout", "stderr"]

_encode: Final = msgspec.json.Encoder().encode

_LOG_HEAD: Final = b'{"type":"log","timestamp":"'
_LOG_MIDDLE: Final = b'","data":{"line":'
_LOG_TAILS: Final[dict[str, bytes]] = {
    "stdout": b',"stream":"stdout"}}',
    "stderr": b',"stream":"stderr"}}',
}
#: Where the 30 characters of a log message's time stamp stand in its bytes.
LOG_TIMESTAMP: Final = slice(len(_LOG_HEAD), len(_LOG_HEAD) + 30)


class ContainerStatus(msgspec.Struct, frozen=True):
    """``data`` of a container's ``status``: name, engine state, and words such as "Up 2 hours"."""

    container: str
    state: str
    status: str


class DeploymentStatus(msgspec.Struct, frozen=True):
    """``data`` of a deployment's ``status``; ``progress`` is a percentage, 0 to 100."""

    deployment_id: int
    status: Literal["pending", "building", "deploying", "success", "failed"]
    stage: str
    progress: int
    message: str
    error_message: str = ""


class Cpu(msgspec.Struct, frozen=True):
    """``usage`` of all cores together in percent, 0 to 100."""

    usage: float
    cores: int


class Space(msgspec.Struct, frozen=True):
    """Bytes of memory or disk; ``percent`` is ``used / total``, 0 to 100."""

    used: int
    total: int
    percent: float


class Docker(msgspec.Struct, frozen=True):
    """The engine's counts, None while it is unreachable."""

    containers_running: int | None
    containers_total: int | None
    images: int | None


class MetricsSample(msgspec.Struct, frozen=True):
    """One sample of the host; the whole message, it has no ``type``."""

    timestamp: str
    cpu: Cpu
    memory: Space
    disk: Space
    docker: Docker


class LogLine(msgspec.Struct, frozen=True):
    """``data`` of a ``log`` message."""

    line: str
    stream: Stream = "stdout"


class LogMessage(msgspec.Struct, frozen=True):
    """A ``log`` message."""

    timestamp: str
    data: LogLine


class _Envelope(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    data: object


class _StatusMessage(msgspec.Struct, frozen=True):
    data: ContainerStatus


class _DeploymentStatusMessage(msgspec.Struct, frozen=True):
    data: DeploymentStatus


class _Text(msgspec.Struct, frozen=True):
    message: str


class _Notice(msgspec.Struct, frozen=True):
    data: _Text


_log: Final = msgspec.json.Decoder(LogMessage)
_status: Final = msgspec.json.Decoder(_StatusMessage)
_deployment_status: Final = msgspec.json.Decoder(_DeploymentStatusMessage)
_notice: Final = msgspec.json.Decoder(_Notice)
_metrics: Final = msgspec.json.Decoder(MetricsSample)


def log(timestamp: str, line: str, stream: Stream) -> bytes:
    """A ``log`` message; the way of every line, hence put together by hand."""
    return b"".join((_LOG_HEAD, timestamp.encode(), _LOG_MIDDLE, _encode(line), _LOG_TAILS[stream]))


def status(data: ContainerStatus | DeploymentStatus) -> bytes:
    """A ``status`` message of this moment."""
    return _encode(_Envelope("status", clock.now(), data))


def error(message: str) -> bytes:
    """An ``error`` message of this moment."""
    return _encode(_Envelope("error", clock.now(), {"message": message}))


def end(message: str = "Log stream ended") -> bytes:
    """An ``end`` message of this moment."""
    return _encode(_Envelope("end", clock.now(), {"message": message}))


def skipped(lines: int) -> bytes:
    """What a client that is too slow is told: ``lines`` were left out."""
    noun = "line" if lines == 1 else "lines"
    text = f"{lines} {noun} skipped: connection too slow"
    return _encode(_Envelope("skipped", clock.now(), {"lines": lines, "message": text}))


def metrics(sample: MetricsSample) -> bytes:
    """A metrics message."""
    return _encode(sample)


def log_timestamp(message: bytes) -> str:
    """The time stamp of a ``log`` message that :func:`log` made; of other bytes, anything."""
    return message[LOG_TIMESTAMP].decode("ascii", "replace")


def has_type(message: bytes, name: Literal["log", "status", "error"]) -> bool:
    """Return True if a message that this module made is of a type."""
    return message.startswith(b'{"type":"%b"' % name.encode())


def read_log(message: bytes) -> LogMessage:
    """Return what a ``log`` message says."""
    return _log.decode(message)


def read_status(message: bytes) -> ContainerStatus:
    """Return what a container's ``status`` message says."""
    return _status.decode(message).data


def read_deployment_status(message: bytes) -> DeploymentStatus:
    """Return what a deployment's ``status`` message says."""
    return _deployment_status.decode(message).data


def read_text(message: bytes) -> str:
    """Return the text of an ``end``, an ``error`` or a ``skipped`` message."""
    return _notice.decode(message).data.message


def read_metrics(message: bytes) -> MetricsSample:
    """Return the sample that a metrics message is."""
    return _metrics.decode(message)
