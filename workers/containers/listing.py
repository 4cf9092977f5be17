"""The host's containers, as the engine lists and describes them."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from mist import clock, uptime
from mist.errors import EngineError
from mist.messages import HostContainer
from mist.settings import Settings
from workers import engine
from workers.container.container import container_of
from workers.containers.figures import NEVER
from workers.containers.meter import Run
from workers.references import Inspection

PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"

# So many ids are named in a request for a list; with more, it is for all containers.
_FEW: Final = 50

# The engine limits neither labels nor names of images; a message has to be bounded.
_TEXT: Final = 512

# Durations in the engine's phrases, which change by themselves.
_DURATION: Final = re.compile(
    r"(?:Less than a|About an?|\d+) (?:second|minute|hour|day|week|month|year)s?"
)


class Entry(msgspec.Struct, frozen=True, rename="pascal"):
    """A row of ``GET /containers/json``."""

    id: str
    names: list[str] | None
    image: str
    state: str
    status: str

    @property
    def constant(self) -> tuple[object, ...]:
        """What does not change unless something happens to the container."""
        return self.names, self.image, self.state, _DURATION.sub("", self.status)


class Known(NamedTuple):
    """A container that was listed and inspected."""

    entry: Entry
    container: HostContainer
    began: str
    """The time at which the duration in ``status`` began; empty if it has none."""
    run: Run

    def changed(self, other: Known | None) -> bool:
        """Return True if clients would see more than another duration."""
        return other is None or self._constant() != other._constant()

    def _constant(self) -> tuple[object, ...]:
        return self.entry.constant, msgspec.structs.replace(self.container, status="")


def listed(settings: Settings, ids: Collection[str] = ()) -> dict[str, Entry]:
    """Return the rows of all containers, or of those with these ids, by id."""
    query: dict[str, Any] = {"all": 1}
    if ids:
        query["filters"] = msgspec.json.encode({"id": sorted(ids)}).decode()
    answer = engine.get_json(settings, "/containers/json", **query)
    try:
        return {entry.id: entry for entry in msgspec.convert(answer, list[Entry])}
    except msgspec.ValidationError as error:
        raise EngineError(f"the engine's list of containers: {error}") from None


def described(settings: Settings, ids: Iterable[str]) -> dict[str, Known]:
    """Return those containers with these ids that exist."""
    found = {}
    for each in ids:
        try:
            found[each] = engine.get_json(settings, f"/containers/{each}/json")
        except engine.EngineRefused as error:
            if error.status != 404:
                raise
    # Listed after they were inspected: the list is a copy, which the engine brings up to date
    # a moment after an event.  An inspection waits for that.
    few = found if len(found) <= _FEW else ()
    entries = listed(settings, few) if found else {}
    return {each: known_of(entries[each], found[each]) for each in found if each in entries}


def known_of(entry: Entry, inspection: Inspection, now: int | None = None) -> Known:
    """Return a container as its row and its inspection describe it."""
    seen = container_of(inspection)
    made = inspection["Config"].get("Labels") or {}
    began = uptime.began(entry.status, seen.turned, time.time_ns() if now is None else now)
    never = not seen.started or seen.started.startswith(NEVER)
    container = HostContainer(
        seen.id,
        str(inspection["Name"]).removeprefix("/"),
        entry.image[:_TEXT],
        seen.state,
        entry.status,
        seen.health or None,
        clock.normalize(seen.created),
        None if never else clock.normalize(seen.started),
        *(text and text[:_TEXT] for text in (made.get(PROJECT), made.get(SERVICE))),
    )
    return Known(entry, container, began, Run.of(inspection))
