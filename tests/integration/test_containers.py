"""The host's containers and their figures on a real engine, next to ``docker stats``."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
import requests

from mist.settings import EngineSettings, Settings
from tests.integration.conftest import MakeService
from tests.support.service.clients import Client
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until
from workers.containers.cgroup import CgroupMeter
from workers.containers.engine_stats import EngineMeter

pytestmark = pytest.mark.engine

OpenClient = Callable[..., Client]

#: All of its quota, a fifth of a core, and some megabytes.
BUSY: Final = "x=$(seq 1 1000000); while :; do :; done"
#: Healthy as long as there is a file.
CHECKED: Final = {
    "test": ["CMD-SHELL", "cat /tmp/well"],
    "interval": 300_000_000,
    "retries": 1,
}
FIGURES: Final = {
    "cpu_percent": float,
    "memory_used": int,
    "memory_limit": int,
    "memory_percent": float,
    "network_rx": int,
    "network_tx": int,
    "block_read": int,
    "block_write": int,
    "pids": int,
}
_UNITS: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def row(client: Client, name: str) -> dict[str, Any] | None:
    """Return a container's row in the newest list."""
    lists = client.of_type("containers")
    rows = lists[-1]["data"]["containers"] if lists else []
    return next((each for each in rows if each["name"] == name), None)


def await_row(client: Client, name: str, **expected: object) -> dict[str, Any]:
    """Wait until the container's row in the list has these values, and return it."""

    def found() -> dict[str, Any]:
        seen = row(client, name) or {}
        return seen if all(seen.get(key, ...) == expected[key] for key in expected) else {}

    return wait_until(found, f"{name}: {expected}, not {row(client, name)}")


def test_list_follows_the_engine(
    service: Service, admin: str, engine: PrivateEngine, container: str, open_client: OpenClient
) -> None:
    """A container that is created, turns healthy or not, is stopped or removed is listed so."""
    client = open_client(service.ws_url("containers"), admin)
    client.wait_for(lambda _: client.of_type("containers"))
    assert client.types[0] == "containers"
    assert row(client, container) is None
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    number = engine.create(
        container, "touch /tmp/well; sleep 1000", labels=labels, healthcheck=CHECKED
    )
    made = await_row(client, container, state="created")
    assert (made["id"], made["started"], made["health"]) == (number, None, None)
    assert (made["project"], made["service"], made["app_id"]) == ("shop", "web", None)
    app_id = service.add_app(container, container)
    await_row(client, container, app_id=app_id)
    engine.client.start(container)
    healthy = await_row(client, container, state="running", health="healthy")
    assert healthy["started"] > healthy["created"]
    assert healthy["status"].startswith("Up ")
    engine.client.exec_start(
        engine.client.exec_create(container, ["/bin/busybox", "rm", "/tmp/well"])["Id"]
    )
    await_row(client, container, health="unhealthy")
    client.wait_for(lambda _: number in client.of_type("stats")[-1]["data"]["stats"])
    engine.client.kill(container)
    await_row(client, container, state="exited")
    engine.client.rename(container, f"{container}-2")
    await_row(client, f"{container}-2", app_id=None)
    engine.remove(f"{container}-2")
    wait_until(lambda: row(client, f"{container}-2") is None, "no row")
    client.wait_for(lambda _: number not in client.of_type("stats")[-1]["data"]["stats"])


def docker_stats(engine: PrivateEngine, name: str) -> tuple[float, float, float]:
    """Return the percentage of a core, the memory and its limit, as docker prints them."""
    command = ["docker", "--host", engine.host, "stats", "--no-stream", "--format", "json", name]
    printed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    used, limit = (_bytes(text) for text in printed["MemUsage"].split(" / "))
    return float(printed["CPUPerc"].rstrip("%")), used, limit


def _bytes(text: str) -> float:
    number = text.rstrip("BKMGTi")
    return float(number) * _UNITS[text.removeprefix(number)]


@pytest.mark.skipif(shutil.which("docker") is None, reason="compares with the docker command")
def test_figures_agree_with_docker_stats(
    service: Service, admin: str, engine: PrivateEngine, container: str, open_client: OpenClient
) -> None:
    """CPU within 5 % of a core, and memory within 1 %, in both streams."""
    number = engine.create(container, BUSY)
    engine.client.update_container(container, cpu_period=100_000, cpu_quota=20_000)
    engine.client.start(container)
    one = open_client(service.ws_url("container/stats", container=container, history=300), admin)
    every = open_client(service.ws_url("containers"), admin)
    one.wait_for(lambda _: len(one.of_type("stats")) >= 2)
    assert one.types[0] == "status"
    assert one.messages[0]["data"]["state"] == "running"
    assert {key: type(value) for key, value in one.messages[1]["data"].items()} == FIGURES

    def agree() -> bool:
        # On a busy machine the container does not always get the same share.
        expected = docker_stats(engine, container)
        samples = [message["data"] for message in one.of_type("stats")]
        listed = [message["data"]["stats"].get(number) for message in every.of_type("stats")]
        return _agree(samples[-4:], expected) and _agree(list(filter(None, listed))[-4:], expected)

    wait_until(agree, "the same figures", 60)
    # Who comes later gets the samples from before.
    late = open_client(service.ws_url("container/stats", container=container, history=2), admin)
    late.wait_for(lambda _: len(late.of_type("stats")) >= 2)
    assert late.of_type("stats")[0] in one.of_type("stats")


def _agree(samples: list[dict[str, Any]], expected: tuple[float, float, float]) -> bool:
    cpu, used, limit = expected
    seen = [(each["cpu_percent"], each["memory_used"], each["memory_limit"]) for each in samples]
    return (
        any(abs(each[0] - cpu) <= 5 for each in seen)
        and any(abs(each[1] - used) <= used / 100 for each in seen)
        and all(abs(each[2] - limit) <= limit / 100 for each in seen)
    )


def test_engine_tells_the_same_as_the_cgroup(engine: PrivateEngine, container: str) -> None:
    """Where the cgroup cannot be read, the engine's figures take its place."""
    number = engine.run(container, "x=$(seq 1 1000000); sleep 1000")
    pid = engine.client.inspect_container(container)["State"]["Pid"]
    settings = Settings(engine=EngineSettings(host=engine.host))
    local, told = CgroupMeter(number, pid, host_network=False), EngineMeter(settings, number)

    def same() -> bool:
        ours, theirs = local.read(), told.read()
        assert ours is not None
        assert theirs is not None
        # Once it sleeps, nothing changes any more.
        near = abs(ours.memory_used - theirs.memory_used) < 10_000
        return near and ours._replace(at=0, memory_used=0) == theirs._replace(at=0, memory_used=0)

    wait_until(same, "the same figures")
    engine.client.kill(container)
    wait_until(lambda: local.read() is None, "the end of the cgroup")
    assert told.read() is None
    local.close()


def test_only_admins_learn_of_containers(
    service: Service, admin: str, engine: PrivateEngine, container: str, open_client: OpenClient
) -> None:
    """A user learns nothing about containers without access to their application."""
    engine.run(container, "sleep 1000")
    app_id = service.add_app(container, container)
    email = f"{container}@example.com"
    service.add_user(email, "correct horse battery")
    cookie = service.login(email, "correct horse battery")
    routes = [
        service.ws_url("containers"),
        service.ws_url("container/stats", container=container),
        service.ws_url("container/stats", container="no-such-container"),
        service.ws_url("container/stats", appId=app_id),
        service.ws_url("container/stats", appId=10**9),
    ]
    told = []
    for url in routes:
        client = open_client(url, cookie)
        told.append((client.wait_closed(), client.messages[0]["data"]["message"]))
    assert told == [(4403, "Permission denied")] * len(routes)
    url = f"{service.url}/api/containers"
    assert requests.get(url, headers={"Cookie": cookie}, timeout=30).status_code == 403
    assert requests.get(url, timeout=30).status_code == 401
    answer = requests.get(url, headers={"Cookie": admin}, timeout=30).json()
    assert (container, app_id) in {(each["name"], each["app_id"]) for each in answer["data"]}


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({}, 400, "appId is missing"),
        ({"container": "../x"}, 400, "container: '../x' is not a container name"),
        ({"appId": 1, "container": "web"}, 400, "appId and container exclude each other"),
        ({"container": "web", "history": 301}, 400, "history must be from 0 to 300"),
    ],
)
def test_wrong_queries(
    service: Service,
    admin: str,
    open_client: OpenClient,
    query: dict[str, object],
    status: int,
    text: str,
) -> None:
    """A wrong query is refused before the upgrade, with the reason."""
    client = open_client(service.ws_url("container/stats", **query), admin)
    client.wait_for(lambda _: client.refusal is not None)
    assert client.refusal is not None
    assert client.refusal.status == status
    assert client.refusal.message.startswith(text)


def test_trouble(
    own_engine: PrivateEngine, make_service: MakeService, open_client: OpenClient
) -> None:
    """A right that is withdrawn, a container that is removed, and an engine that goes away."""
    brief: dict[str, object] = {
        "collector.restart_seconds": 1.0,
        "collector.linger_seconds": 0.5,
    }
    service = make_service(own_engine, brief | {"auth.check_seconds": 1.0})
    admin = service.login()
    service.add_user("viewer@example.com", "correct horse battery")
    service.add_app("app", "stays")
    service.mist("app", "grant", "app", "viewer@example.com")
    cookie = service.login("viewer@example.com", "correct horse battery")
    own_engine.run("gone", "sleep 1000")
    own_engine.run("stays", "sleep 1000")

    def stats(name: str) -> Client:
        return open_client(service.ws_url("container/stats", container=name), admin)

    gone, stays, listed = stats("gone"), stats("stays"), service.ws_url("containers")
    client = open_client(listed, admin)
    for each in (gone, stays, client):
        wait_until(partial(each.of_type, "stats"), "figures")
    viewer = open_client(service.ws_url("container/stats", appId=1), cookie)
    wait_until(partial(viewer.of_type, "stats"), "figures")
    service.mist("app", "revoke", "app", "viewer@example.com")
    assert viewer.wait_closed() == 4403
    own_engine.client.restart("gone", timeout=0)
    gone.wait_for(lambda _: len(gone.of_type("status")) >= 2)
    own_engine.remove("gone")
    assert gone.wait_closed() == 1000
    assert gone.types[-2:] == ["status", "end"]
    late = stats("gone")
    assert (late.wait_closed(), late.types) == (4404, ["error"])
    wait_until(lambda: row(client, "gone") is None, "no row")
    own_engine.stop()
    assert (client.wait_closed(), stays.wait_closed()) == (1013, 1013)
    assert client.messages[-1]["data"]["message"] == "Docker Engine is unreachable"
    assert stays.messages[-1]["data"]["message"] == "Docker Engine is unreachable"
    answer = requests.get(f"{service.url}/api/containers", headers={"Cookie": admin}, timeout=30)
    assert (answer.status_code, answer.json()["message"]) == (503, "Docker Engine is unreachable")
    own_engine.start()

    def back() -> bool:
        again = open_client(listed, admin)
        wait_until(lambda: again.of_type("containers") or again.closed.is_set(), "an answer")
        return row(again, "stays") is not None

    wait_until(back, "the list")
    assert not [each for each in service.status() if each["restarts"]]
    # Nothing is collected while nobody watches.
    for each in (client, stays, late):
        each.close()
    wait_until(lambda: service.running("stats/") == [], "no collector of figures")
