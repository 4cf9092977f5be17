"""The messages of the service as they are sent."""

from __future__ import annotations

from typing import Final, Generic, Literal, TypeVar

import msgspec

from mist_client.events import HostContainer, Usage

T = TypeVar("T")


class Text(msgspec.Struct, frozen=True):
    """``data`` of ``error`` and ``end``."""

    message: str = ""


class LineData(msgspec.Struct, frozen=True):
    """``data`` of ``log``."""

    line: str
    stream: Literal["stdout", "stderr"] = "stdout"
    pos: str | None = None


class ContainerData(msgspec.Struct, frozen=True):
    """``data`` of a container's ``status``."""

    container: str = ""
    state: str = ""
    status: str = ""
    deployment_id: int | None = None


class SkippedData(msgspec.Struct, frozen=True):
    """``data`` of ``skipped``; ``lines`` is 0 if their number is unknown."""

    lines: int = 0
    reason: str = "slow"
    message: str = ""


class DeploymentData(msgspec.Struct, frozen=True):
    """``data`` of a deployment's ``status``."""

    deployment_id: int
    status: Literal["pending", "building", "deploying", "success", "failed"]
    stage: str
    progress: int
    message: str = ""
    error_message: str = ""


class ContainersData(msgspec.Struct, frozen=True):
    """``data`` of ``containers``."""

    containers: tuple[HostContainer, ...]


class StatsData(msgspec.Struct, frozen=True):
    """``data`` of the ``stats`` of all containers."""

    stats: dict[str, Usage]


class EndData(msgspec.Struct, frozen=True):
    """``data`` of the last record of older lines."""

    lines: int
    matched: int
    complete: bool
    reached: str | None = None
    message: str = ""


class _Message(msgspec.Struct, Generic[T], frozen=True, tag_field="type"):
    timestamp: str
    data: T


class Log(_Message[LineData], frozen=True, tag="log"):
    """A line."""


class Container(_Message[ContainerData], frozen=True, tag="status"):
    """The state of a container."""


class Skip(_Message[SkippedData], frozen=True, tag="skipped"):
    """Lines that were left out."""


class Error(_Message[Text], frozen=True, tag="error"):
    """The reason why the stream is about to be closed."""


class Ended(_Message[Text], frozen=True, tag="end"):
    """The stream is complete."""


class Deploying(_Message[DeploymentData], frozen=True, tag="status"):
    """The state of a deployment."""


class Listed(_Message[ContainersData], frozen=True, tag="containers"):
    """The containers of the host."""


class Stats(_Message[StatsData], frozen=True, tag="stats"):
    """What the containers of the host use."""


class Used(_Message[Usage], frozen=True, tag="stats"):
    """What one container uses."""


class OlderEnd(_Message[EndData], frozen=True, tag="end"):
    """The last record of older lines."""


LOG: Final = msgspec.json.Decoder(Log | Container | Skip | Error | Ended)
DEPLOYMENT: Final = msgspec.json.Decoder(Log | Deploying | Error)
CONTAINERS: Final = msgspec.json.Decoder(Listed | Stats | Error)
USAGE: Final = msgspec.json.Decoder(Used | Container | Error | Ended)
OLDER: Final = msgspec.json.Decoder(Log | OlderEnd)
ERROR: Final = msgspec.json.Decoder(Error)


def is_error(data: bytes) -> bool:
    """Return True for an ``error`` message."""
    try:
        ERROR.decode(data)
    except msgspec.MsgspecError:
        return False
    return True
