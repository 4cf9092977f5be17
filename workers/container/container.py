"""A container as the engine describes it (Docker Engine API, "Inspect a container")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from mist.errors import EngineUnreachable
from mist.ids import parse_id
from mist.settings import CollectorSettings
from workers import labels

# The defaults of the log driver ``local``.
_LOCAL: Final = {"max-size": "20m", "compress": "true"}
_UNITS: Final = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}


class Container(NamedTuple):
    """A container at one moment; a different ``started`` with the same ``id`` is a restart."""

    id: str
    started: str
    state: str
    running: bool
    restarting: bool
    created: str
    tty: bool
    auto_remove: bool
    rotates_at: int | None
    """The size in bytes at which its log file is rotated; None if the log is not rotated."""
    compressed: bool = False
    """Rotated files are compressed, so the engine unpacks all of them at each reading."""
    finished: str = ""
    health: str = ""
    """``starting``, ``healthy`` or ``unhealthy``; empty without a health check."""
    log_driver: str = ""
    installation: str = ""
    """The installation of Mist that made it, according to its labels."""
    deployment: int | None = None
    """The deployment that made it, according to its labels."""
    replaces: str = ""
    """The id of the container that it replaces or has replaced, according to its labels."""

    @property
    def turned(self) -> str:
        """The time of the engine's from which it counts how long the state has lasted."""
        return self.started if self.running else self.finished

    def same_run(self, other: Container | None) -> bool:
        """Return True if the container was neither restarted nor replaced since ``other``."""
        return other is not None and (self.id, self.started) == (other.id, other.started)


def container_of(answer: Any) -> Container:
    """Return the container described by an inspection."""
    try:
        state = answer["State"]
        log = answer["HostConfig"].get("LogConfig") or {}
        made = answer["Config"].get("Labels") or {}
        return Container(
            id=answer["Id"],
            started=state["StartedAt"],
            state=state["Status"],
            # The engine reports a container that waits for its restart as running, too.
            running=state["Running"] and not state["Restarting"],
            restarting=state["Restarting"],
            created=answer["Created"],
            tty=answer["Config"]["Tty"],
            auto_remove=answer["HostConfig"]["AutoRemove"],
            rotates_at=rotates_at(log),
            compressed=compressed(log),
            finished=state.get("FinishedAt", ""),
            health=_health(state),
            log_driver=log.get("Type", ""),
            installation=made.get(labels.INSTALLATION, ""),
            deployment=parse_id(made.get(labels.DEPLOYMENT, "")),
            replaces=made.get(labels.REPLACES, ""),
        )
    except (KeyError, TypeError, AttributeError):
        raise EngineUnreachable("its address", "the answer is not the Docker Engine's") from None


def _health(state: dict[str, Any]) -> str:
    status = str((state.get("Health") or {}).get("Status", ""))
    # The engine's word for a container without a health check.
    return "" if status == "none" else status


def patience(
    seen: Container | None,
    now: Container | None,
    deploying: Callable[[], bool],
    limits: CollectorSettings,
) -> float:
    """Return how many seconds a container that does not run may take to come back.

    ``seen`` is the container as it last ran and ``now`` as it is; ``deploying`` returns True
    while a deployment is replacing it.
    """
    # A removed container is usually being recreated, unless it ran with --rm.
    if now is None:
        coming = seen is None or not seen.auto_remove
    else:
        replaced = seen is not None and seen.id != now.id
        coming = now.restarting or replaced or now.state == "created"
    if coming or deploying():
        return limits.restart_seconds
    return limits.stop_grace_seconds


def rotates_at(log: dict[str, Any]) -> int | None:
    """Return the size in bytes at which log files are rotated, or None if they are not."""
    size = _option(log, "max-size")
    if not size or size == "-1":
        return None
    number = "".join(part for part in size if part.isdigit() or part == ".")
    unit = size[len(number) :].strip().lower()[:1]
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError):
        return 0  # an unknown unit: assume the worst, a file too small to rely on the stream


def compressed(log: dict[str, Any]) -> bool:
    """Return True if the log driver may compress rotated files."""
    # Go's strconv.ParseBool() decides; what it does not know, the engine refuses.
    return _option(log, "compress").lower() not in {"", "0", "f", "false"}


def _option(log: dict[str, Any], name: str) -> str:
    """Return an option of the driver whose files the engine reads, or its default."""
    driver, options = log.get("Type"), log.get("Config") or {}
    if driver in {"json-file", "journald", "none", None}:
        return str(options.get(name, ""))
    # Of a log that goes elsewhere, the engine reads its own copy, which the driver "local"
    # writes (https://docs.docker.com/config/containers/logging/dual-logging/).
    prefix = "" if driver == "local" else "cache-"
    return str(options.get(prefix + name, _LOCAL[name]))
