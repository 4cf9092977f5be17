"""Look up containers and networks by their full names.

Where the engine takes a name, it also accepts the beginning of an id ("Inspect a
container": "ID or name").  So ``db`` may return another container whose id begins with
``db``.  An answer counts only if it has the requested name; later requests use the full id.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from mist.errors import EngineError, EngineUnreachable
from mist.settings import Settings
from workers import engine

# The engine's answer to "Inspect a container".
Inspection = dict[str, Any]

# Values of ``NetworkMode`` that are not names of networks.
_MODES: Final = frozenset({"", "default", "bridge", "host", "none"})
_CONTAINER_MODE: Final = "container:"


class NoSuchNetwork(EngineError):
    """A setting names a network that the engine does not have under exactly this name."""


def find_container(settings: Settings, name: str) -> Inspection | None:
    """Return the container of this name, or None; raise EngineError without an answer."""
    try:
        found = engine.get_json(settings, f"/containers/{name}/json")
        if _field(found, "Name") == f"/{name}":
            return dict(found)
    except engine.EngineRefused as error:
        if error.status == 404:
            return None
    # The engine took the name for an id, or found that several ids begin with it
    # ("Multiple IDs found", status 400 or 500 depending on the version).  A full id even
    # hides a container that has this id as its name, so the list of all names decides.
    return _find_in_list(settings, name)


def network_mode(settings: Settings, text: str) -> str:
    """Return the ``NetworkMode`` for a setting.

    Check that names and full ids of networks exist; turn ``container:NAME`` into
    ``container:ID``.  Raise NoSuchNetwork if one does not exist.
    """
    if text in _MODES:
        return text
    if text.startswith(_CONTAINER_MODE):
        return _CONTAINER_MODE + _container_id(settings, text.removeprefix(_CONTAINER_MODE))
    try:
        found = engine.get_json(settings, f"/networks/{text}")
    except engine.EngineRefused as error:
        if error.status != 404:
            raise
        found = {"Name": "", "Id": ""}
    if text not in (_field(found, "Name"), _field(found, "Id")):
        raise NoSuchNetwork(f"The Docker Engine has no network {text!r}; `docker network ls`")
    return text


def _find_in_list(settings: Settings, name: str) -> Inspection | None:
    # The filter is a regular expression that may match anywhere, so it only shortens the list.
    filters = msgspec.json.encode({"name": [f"^/{re.escape(name)}$"]}).decode()
    listed = engine.get_json(settings, "/containers/json", all=1, filters=filters)
    for entry in listed:
        # A container has a further name for each container that links to it.
        if f"/{name}" in (_field(entry, "Names") or ()):
            return inspect(settings, _field(entry, "Id"), name)
    return None


def _container_id(settings: Settings, text: str) -> str:
    found = find_container(settings, text) or inspect(settings, text)
    if found is None:
        raise NoSuchNetwork(
            f"The network {_CONTAINER_MODE + text!r} does not name a container; `docker ps`"
        )
    return str(found["Id"])


def inspect(settings: Settings, full_id: str, name: str | None = None) -> Inspection | None:
    """Return the container of this full id, or None if it is gone or was renamed."""
    try:
        found = engine.get_json(settings, f"/containers/{full_id}/json")
    except engine.EngineRefused as error:
        if error.status == 404:
            return None
        raise
    same = _field(found, "Id") == full_id and name in (None, _field(found, "Name")[1:])
    return dict(found) if same else None


def _field(answer: Any, name: str) -> Any:
    try:
        return answer[name]
    except (KeyError, TypeError):
        raise EngineUnreachable("its address", "the answer is not the Docker Engine's") from None
