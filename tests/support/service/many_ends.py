"""Many containers that end in the same moment, each with a client."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from mist.settings import Settings
from mist.store import open_store
from tests.support.service.clients import WebsocketsClient
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service

#: Each container writes a line and waits until the named pipe is opened and closed.
_WAITS: Final = "echo begun; read x </go/fifo; echo ended"


class Ended(NamedTuple):
    """How long the ends took, in seconds."""

    engine: list[float]
    """From the signal to end until the engine reported the exit of each."""
    clients: list[float]
    """From then until the client had its ``end``."""


@contextlib.contextmanager
def waiting(engine: PrivateEngine, folder: Path, count: int) -> Iterator[list[str]]:
    """Run containers that wait; remove them at the end of the context."""
    folder.chmod(0o755)
    os.mkfifo(folder / "fifo")
    names = [f"test-end-{number}" for number in range(count)]

    def run(name: str) -> None:
        engine.run(name, _WAITS, binds=[f"{folder}:/go"])

    with ThreadPoolExecutor(4) as pool:
        try:
            list(pool.map(run, names))
            yield names
        finally:
            list(pool.map(engine.remove, names))


def end_all(service: Service, engine: PrivateEngine, names: list[str], folder: Path) -> Ended:
    """Watch all containers, let them end in the same moment, and return how long it took."""
    cookie = service.login()
    # Not with the command, whose start takes longer than the rest of the test.
    store = open_store(Settings(), service.paths)
    apps = [store.apps.add(name, container=name).id for name in names]
    store.close()
    clients = [
        WebsocketsClient(service.ws_url("container/logs", appId=app), cookie) for app in apps
    ]
    for client in clients:
        client.wait_lines(1, 120.0)
    # All of them wait in open(2); a writer that comes and goes wakes them all.
    os.close(os.open(folder / "fifo", os.O_WRONLY))
    began, wall = time.monotonic(), time.time()
    for client in clients:
        client.wait_closed(120.0)
        assert client.lines == ["begun", "ended"]
        assert client.types[-1] == "end"
    # The engine itself needs seconds for a hundred exits; what counts is the time from its report.
    events = engine.client.events(
        since=int(wall) - 1, until=int(time.time()) + 1, filters={"event": "die"}, decode=True
    )
    died = {event["Actor"]["Attributes"]["name"]: event["timeNano"] / 1e9 for event in events}
    exits = [died[name] - wall for name in names]
    ends = [
        client.arrivals[-1] - began - exit_ for client, exit_ in zip(clients, exits, strict=True)
    ]
    return Ended(sorted(exits), sorted(ends))
