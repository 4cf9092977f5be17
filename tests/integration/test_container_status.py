"""The status of a container, which is its state as of now, and logs that cannot be read."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mist.errors import Exit
from tests.integration.conftest import MakeService
from tests.support.service.clients import Client
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import program
from tests.support.service.service import MIST, Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

OpenClient = Callable[..., Client]

#: Healthy while the file /tmp/well exists.
CHECK = {
    "test": ["CMD-SHELL", "[ -e /tmp/well ]"],
    "interval": 300_000_000,
    "timeout": 5_000_000_000,
    "retries": 2,
}


def statuses(client: Client) -> list[tuple[str, str]]:
    """Return the states that a client was told, with what follows the duration."""
    data = [message["data"] for message in client.of_type("status")]
    return [(one["state"], re.sub(r"^Up [^(]*", "", one["status"])) for one in data]


def first(client: Client) -> dict[str, Any]:
    """Return the first message's data; it must be a status."""
    client.wait_for(lambda messages: messages)
    assert client.types[0] == "status"
    assert client.messages[0]["data"].keys() == {"container", "state", "status"}
    return dict(client.messages[0]["data"])


def seconds(status: str) -> int:
    """Return the number in "Up 7 seconds"."""
    match = re.match(r"Up (\d+) seconds?", status)
    return int(match[1]) if match else 0


def test_first_message_is_the_state_as_of_now(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """Whoever comes, whenever, on any worker reads the present state, health and duration."""
    service = make_service(engine, {"replay.lines": 50}, workers=2)
    app = service.add_app("web", container)
    url, cookie = service.ws_url("container/logs", appId=app), service.login()
    engine.run(container, "trap : TERM; sleep 600", healthcheck=CHECK)
    # `mist logs` starts the collector, and lines push its first status out of the memory.
    with program(
        [MIST, "logs", "web"], 120, env=service.environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as logs:  # fmt: skip
        assert logs.stderr is not None
        assert logs.stderr.readline().startswith(f"mist: {container} is running (Up ")
        watcher = open_client(url, cookie)
        assert "(" in first(watcher)["status"]
        engine.say(container, "i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done")
        watcher.wait_for(lambda _: statuses(watcher)[-1:] == [("running", "(unhealthy)")])
        engine.say(container, ": >/tmp/well")
        watcher.wait_for(lambda _: statuses(watcher)[-1:] == [("running", "(healthy)")])
        engine.say(container, "i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done")
        watcher.wait_lines(1_000)

        # As many clients as it takes to reach both workers.
        for _ in range(6):
            data = first(open_client(url, cookie))
            assert (data["state"], "(healthy)" in data["status"]) == ("running", True)
        before = seconds(first(open_client(url, cookie))["status"])
        wait_until(
            lambda: seconds(first(open_client(url, cookie))["status"]) >= before + 2,
            "the duration to grow",
        )
        engine.client.pause(container)
        watcher.wait_for(lambda _: statuses(watcher)[-1:] == [("paused", "(Paused)")], 5)
        for _ in range(6):
            assert first(open_client(url, cookie))["state"] == "paused"
        engine.client.unpause(container)
        watcher.wait_for(lambda _: statuses(watcher)[-1:] == [("running", "(healthy)")], 5)
        kinds = statuses(watcher)
        assert [kind for kind, after in pairwise(kinds) if kind == after] == []
        assert watcher.of_type("skipped") == []


def test_newcomer_while_the_container_is_away(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """A container between two restarts is shown as it is; its clients go on when it is back."""
    service = make_service(engine, workers=2)
    app = service.add_app("web", container)
    url, cookie = service.ws_url("container/logs", appId=app), service.login()
    # Each restart takes the engine longer than the one before, up to several seconds.
    engine.run(container, "echo begun; sleep 0.2; exit 1", restart="always")
    watcher = open_client(url, cookie)
    wait_until(
        lambda: first(open_client(url, cookie))["state"] == "restarting",
        "a client to come in between",
    )
    assert ("restarting", "Restarting") in states(watcher)
    never = {"Name": "no", "MaximumRetryCount": 0}
    engine.client.update_container(container, restart_policy=never)  # type: ignore[arg-type]
    assert watcher.wait_closed() == 1000
    assert states(watcher)[-1] == ("exited", "Exited")


def states(client: Client) -> list[tuple[str, str]]:
    """Return the states that a client was told, with the first word of the phrase."""
    data = [message["data"] for message in client.of_type("status")]
    return [(one["state"], one["status"].split()[0]) for one in data]


def test_log_driver_that_cannot_be_read(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """The status comes, then an error that names driver and remedy, and 4410."""
    engine.run(container, "sleep 600", log_driver="none")
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app)
    watchers = [open_client(url, admin) for _ in range(2)]
    for client in watchers:
        assert client.wait_closed() == 4410
        assert client.types == ["status", "error"]
        text = client.of_type("error")[0]["data"]["message"]
        assert all(word in text for word in ("'none'", "json-file", "local", "journald"))
    late = open_client(url, admin)
    assert (late.wait_closed(), late.types) == (4410, ["status", "error"])
    done = service.mist("logs", container, check=False)
    assert done.returncode == Exit.FAILURE
    assert "log driver does not support reading: it is 'none'" in done.stderr
    engine.remove(container)
    engine.run(container, "echo readable; sleep 600", log_driver="local")

    def readable() -> bool:
        # Until the collector has noticed the new container, clients are refused as before.
        again = open_client(url, admin)
        wait_until(lambda: again.lines or again.closed.is_set(), "lines, or the refusal")
        return again.lines == ["readable"]

    wait_until(readable, "the lines")


def test_positions_among_lines_of_one_time(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """Cut after any line, on any worker, a client with positions gets exactly the others."""
    service = make_service(engine, workers=2)
    app = service.add_app("web", container)
    cookie = service.login()
    engine.run(container, "sleep 600")
    log = Path(engine.client.inspect_container(container)["LogPath"])
    times = [f"2025-01-15T{hour}:30:00.000000001Z" for hour in (11, 11, 11, 10, 10, 12, 11, 11)]
    with log.open("a") as file:
        for number, time in enumerate(times):
            entry = {"log": f"{number}\n", "stream": "stdout", "time": time}
            file.write(json.dumps(entry) + "\n")
    whole = open_client(service.ws_url("container/logs", appId=app, pos=1), cookie)
    whole.wait_lines(len(times))
    assert whole.lines == [str(number) for number in range(len(times))]
    positions = [message["data"]["pos"] for message in whole.of_type("log")]
    again = [
        open_client(service.ws_url("container/logs", appId=app, pos=1, since=position), cookie)
        for position in positions
    ]
    for client in again:
        client.wait_for(lambda messages: messages)
    engine.say(container, "echo live")
    for number, client in enumerate(again):
        expected = [*whole.lines[number + 1 : len(times)], "live"]
        client.wait_lines(len(expected))
        assert client.lines == expected
        assert client.types[:2] == ["status", "log"]
    plain = open_client(service.ws_url("container/logs", appId=app, since=times[3]), cookie)
    plain.wait_lines(4)
    assert plain.lines == ["5", "6", "7", "live"]
    assert all(message["data"].keys() == {"line", "stream"} for message in plain.of_type("log"))
    unknown = open_client(service.ws_url("container/logs", appId=app, since="p1.1"), cookie)
    unknown.wait_lines(len(times) + 1)
    assert unknown.types[:3] == ["status", "skipped", "log"]
    for query, words in (("since=p1.x", "nor the pos of a log message"), ("pos=2", "pos must be")):
        refused = open_client(service.ws_url("container/logs", appId=app) + f"&{query}", cookie)
        refused.wait_for(lambda _, one=refused: one.closed.is_set())  # type: ignore[misc]
        assert refused.refusal is not None
        assert (refused.refusal.status, words in refused.refusal.message) == (400, True)


def test_quiet_container_that_was_made_anew(
    service: Service, engine: PrivateEngine, container: str, admin: str, open_client: OpenClient
) -> None:
    """A predecessor that never wrote a line, and is gone, is no error for the next client."""
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app)
    engine.run(container, "sleep 600")
    client = open_client(url, admin)
    first(client)
    client.close()
    wait_until(lambda: not service.running(f"container/{app}"), "the collector to end")
    engine.remove(container)
    engine.run(container, "sleep 600")
    assert first(open_client(url, admin))["state"] == "running"
