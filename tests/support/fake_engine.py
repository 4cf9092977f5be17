"""A Docker Engine in memory, as far as replacing a container needs it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import requests
from docker.errors import APIError, NotFound
from docker.types import HostConfig

from workers import engine
from workers.references import Inspection


class FakeEngine:
    """A fake of both docker-py's client and the plain one; ``calls`` records changes.

    A started container runs unless ``on_start`` changes its state.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.containers_by_id: dict[str, Inspection] = {}
        self.calls: list[tuple[str, str]] = []
        self.on_start: dict[str, Any] = {}
        self.image_volumes: list[str] = []
        self.health_check = False
        self.renames_running = True
        self.lost_status = 500
        self.missing_networks: set[str] = set()
        self.fails_on: set[str] = set()
        self._numbers = itertools.count(1)
        monkeypatch.setattr(engine, "get_json", self._get_json)

    def add(self, name: str, *, running: bool = True, **more: Any) -> Inspection:
        """Add a container with ``labels``, ``auto_remove``, ``mounts`` and ``ports``."""
        full_id = f"{next(self._numbers):064x}"
        found: Inspection = {
            "Id": full_id,
            "Name": f"/{name}",
            "Config": {"Labels": more.get("labels", {}), "Healthcheck": None},
            "HostConfig": {
                "AutoRemove": more.get("auto_remove", False),
                "Mounts": None,
                "PortBindings": more.get("ports"),
            },
            "Mounts": more.get("mounts", []),
            "NetworkSettings": {"Networks": {}},
            "State": {
                "Running": running,
                "Restarting": False,
                "Status": "running" if running else "created",
                "ExitCode": 0,
                "StartedAt": "2026-01-01T00:00:02.5Z",
                "FinishedAt": "2026-01-01T00:00:01Z",
            },
        }
        self.containers_by_id[full_id] = found
        return found

    def named(self, name: str) -> Inspection | None:
        """Return the container with this name."""
        found = [each for each in self.containers_by_id.values() if each["Name"] == f"/{name}"]
        return found[0] if found else None

    # docker-py's interface

    def create_host_config(self, **options: Any) -> HostConfig:
        """Return a host configuration as docker-py does."""
        return HostConfig(version="1.41", **options)

    def create_container(self, *, name: str, **options: Any) -> Inspection:
        """Create a container without starting it."""
        self._call("create", name)
        given = [
            _mounted(mount["Type"], mount["Source"], mount["Target"])
            for mount in options["host_config"].get("Mounts") or []
        ]
        fresh = [_mounted("volume", f"fresh{path}", path) for path in self.image_volumes]
        made = self.add(name, running=False, labels=options["labels"], mounts=[*given, *fresh])
        made["HostConfig"] |= options["host_config"]
        network = options["host_config"].get("NetworkMode")
        if network not in {None, "default", "bridge", "host", "none"}:
            self._join(made, network)
        if self.health_check:
            made["Config"]["Healthcheck"] = {"Test": ["CMD", "true"]}
        return made

    def inspect_container(self, full_id: str) -> Inspection:
        """Return a container; raise NotFound if it is missing."""
        if full_id not in self.containers_by_id:
            raise refusal(404, f"No such container: {full_id}")
        return self.containers_by_id[full_id]

    def containers(self, *, all: bool, filters: dict[str, list[str]]) -> list[Inspection]:  # noqa: A002
        """Return the containers that have all the labels."""
        wanted = {tuple(label.split("=", 1)) for label in filters["label"]}
        found = self.containers_by_id.values()
        return [each for each in found if wanted <= set(each["Config"]["Labels"].items())]

    def rename(self, full_id: str, name: str) -> None:
        """Rename a container; refuse a name that is taken."""
        self._call("rename", name)
        if self.named(name):
            raise refusal(409, f"Conflict: {name}")
        found = self.inspect_container(full_id)
        if found["State"]["Running"] and not self.renames_running:
            raise refusal(self.lost_status, "sandbox not found")
        found["Name"] = f"/{name}"

    def start(self, full_id: str) -> None:
        """Start a container, unless ``on_start`` says otherwise."""
        found = self._call("start", full_id)
        for name in self.missing_networks & set(found["NetworkSettings"]["Networks"]):
            raise refusal(404, f"network {name} not found")
        found["State"] |= {"Running": True, "Status": "running"} | self.on_start

    def stop(self, full_id: str, timeout: int) -> None:
        """Stop a container, and remove it if it has AutoRemove."""
        self._call("stop", full_id)
        found = self.inspect_container(full_id)
        found["State"] |= {"Running": False, "Status": "exited"}
        if found["HostConfig"]["AutoRemove"]:
            del self.containers_by_id[full_id]

    def remove_container(self, full_id: str, force: bool) -> None:
        """Remove a container, running or not."""
        self._call("remove", full_id)
        self.inspect_container(full_id)
        del self.containers_by_id[full_id]

    def update_container(self, full_id: str, restart_policy: dict[str, Any]) -> None:
        """Record the restart policy."""
        self._call("update", full_id)
        self.inspect_container(full_id)["HostConfig"]["RestartPolicy"] = restart_policy

    def connect_container_to_network(
        self, full_id: str, name: str, aliases: list[str] | None = None
    ) -> None:
        """Attach a container to a network; refuse that if it is attached already."""
        found = self._call("connect", full_id)
        joined = found["NetworkSettings"]["Networks"]
        if name in joined:
            raise refusal(403, f"endpoint already exists in network {name}")
        # Like the real engine, which looks for the network of another container at its start.
        if name in self.missing_networks and found["State"]["Running"]:
            raise refusal(404, f"network {name} not found")
        self._join(found, name, aliases)

    def disconnect_container_from_network(self, full_id: str, name: str) -> None:
        """Detach a container from a network."""
        found = self._call("disconnect", full_id)
        del found["NetworkSettings"]["Networks"][name]

    def logs(self, full_id: str, tail: int) -> bytes:
        """Return two lines, whatever ``tail`` is."""
        return b"first\nlast \xff"

    def _join(self, found: Inspection, name: str, aliases: list[str] | None = None) -> None:
        endpoint = {"NetworkID": f"id-{name}", "Aliases": [*(aliases or ()), found["Id"][:12]]}
        found["NetworkSettings"]["Networks"][name] = endpoint

    # The plain client's interface

    def _get_json(self, _settings: object, path: str, **_options: object) -> Any:
        if path == "/containers/json":
            return [each | {"Names": [each["Name"]]} for each in self.containers_by_id.values()]
        what = path.split("/")[2]
        if path.startswith("/networks/") and what not in self.missing_networks:
            return {"Name": what, "Id": f"id-{what}"}
        found = self.named(what) or self.containers_by_id.get(what)
        if not path.startswith("/containers/") or found is None:
            raise engine.EngineRefused(404, f"no such thing: {what}".encode())
        return found

    def _call(self, method: str, target: str) -> Inspection:
        """Record a change by the container's name; raise APIError if it is to fail."""
        found = self.containers_by_id.get(target, {"Name": f"/{target}"})
        self.calls.append((method, found["Name"].removeprefix("/")))
        if method in self.fails_on:
            raise refusal(500, f"{method} fails")
        return found


def refusal(status: int, text: str) -> APIError:
    """Return the error that docker-py raises for this answer of the engine."""
    response = requests.Response()
    response.status_code = status
    kind = NotFound if status == 404 else APIError
    return kind(text, response, text)


def _mounted(kind: str, source: str, path: str) -> dict[str, Any]:
    """Return an entry of ``Mounts``."""
    return {
        "Type": kind,
        "Name": source,
        "Source": source,
        "Destination": path,
        "RW": True,
        "Mode": "",
        "Propagation": "",
    }
