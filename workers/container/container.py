"""A container as the engine describes it ("Inspect a container")."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from mist.errors import EngineUnreachable

#: Of the driver ``local`` unless it is told otherwise.
_LOCAL_FILE_BYTES: Final = 20_000_000
_UNITS: Final = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Container(NamedTuple):
    """A container at one moment; another ``started`` of the same ``id`` is a restart."""

    id: str
    started: str
    state: str
    running: bool
    restarting: bool
    created: str
    tty: bool
    auto_remove: bool
    rotates_at: int | None
    """How large a file of the log becomes before the next is begun, in bytes, if it does."""

    def same_run(self, other: Container | None) -> bool:
        """Return True if the container was not started again or replaced since ``other``."""
        return other is not None and (self.id, self.started) == (other.id, other.started)


def container_of(answer: Any) -> Container:
    """Return the container that an inspection describes."""
    try:
        state = answer["State"]
        return Container(
            id=answer["Id"],
            started=state["StartedAt"],
            state=state["Status"],
            running=state["Running"] and not state["Restarting"],
            restarting=state["Restarting"],
            created=answer["Created"],
            tty=answer["Config"]["Tty"],
            auto_remove=answer["HostConfig"]["AutoRemove"],
            rotates_at=rotates_at(answer["HostConfig"].get("LogConfig") or {}),
        )
    except (KeyError, TypeError, AttributeError):
        raise EngineUnreachable("its address", "the answer is not the Docker Engine's") from None


def rotates_at(log: dict[str, Any]) -> int | None:
    """Return ``max-size`` in bytes, if the log driver keeps its log in files that rotate."""
    size = (log.get("Config") or {}).get("max-size", "")
    if not size:
        return _LOCAL_FILE_BYTES if log.get("Type") == "local" else None
    number = "".join(part for part in size if part.isdigit() or part == ".")
    unit = size[len(number) :].strip().lower()[:1]
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError):
        return 0
