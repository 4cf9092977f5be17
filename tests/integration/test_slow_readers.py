"""A reader that works or waits for longer than a loop may stand still is not taken for hung."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.integration.conftest import MakeService
from tests.integration.test_older_lines import LINES, docker_logs
from tests.support.service.engine import PrivateEngine
from tests.support.service.log_queries import script
from tests.support.service.reading import Reading, readers, slow_request
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

#: A silent loop is killed after three seconds: no other wait is announced for longer.
HANG_SECONDS = 2
SHORT: dict[str, object] = {
    "supervisor.hang_seconds": HANG_SECONDS,
    "engine.timeout_seconds": 1,
}

#: The time for which a client reads slowly.
SLOWLY = 10.0

#: At each byte of the lines, RE2 has to try a thousand steps of this pattern.
PATTERN = "(x?){999}y"
LONG_LINES = "for i in 1 2; do head -c 150000 /dev/zero | tr '\\0' x; echo; done; echo xy"


@pytest.fixture
def log(engine: PrivateEngine, make_service: MakeService, container: str) -> Iterator[Watched]:
    """The log of a container at a service with short limits, which nothing may reach."""
    service = make_service(engine, SHORT)
    yield Watched(service, f"/api/containers/{container}/logs", service.login())
    wait_until(lambda: not reader_rows(service), "the reader to leave the table", 5)
    assert requests.get(f"{service.url}/readyz", timeout=5).json()["data"] == {
        "store": None,
        "bus": None,
    }


class Watched(Reading):
    """Requests to a service that can be asked about its processes."""

    def __init__(self, service: Service, path: str, cookie: str) -> None:
        super().__init__(service, path, cookie)
        self.service = service


def reader_rows(service: Service) -> list[dict[str, Any]]:
    """Return the rows of readers in the supervisor's table."""
    return [row for row in service.status() if str(row["process"]).startswith("reader/")]


def assert_well(log: Watched) -> None:
    """Nobody calls the running reader hung."""
    (row,) = reader_rows(log.service)
    assert (row["state"], row["restarts"]) == ("running", 0)
    assert "responded" not in row["why"]
    assert requests.get(f"{log.service.url}/readyz", timeout=5).status_code == 200


def test_client_that_reads_slowly(engine: PrivateEngine, container: str, log: Watched) -> None:
    """It gets the whole log, from the one reader that waits for it meanwhile."""
    engine.run(container, script(LINES))
    wait_until(lambda: engine.state(container) == "exited", "the container to write", 60)
    with slow_request(log) as client:
        (process,) = readers(log.service)
        client.settimeout(30)
        received = bytearray()
        until = time.monotonic() + SLOWLY
        while time.monotonic() < until:
            received += client.recv(1_024)
            assert_well(log)
            time.sleep(0.25)  # the pace of the client is what is tested
        doctor = json.loads(log.service.mist("doctor", "--json", check=False).stdout)
        told = [finding for finding in doctor if finding["subject"] == "process"]
        assert [finding["verdict"] for finding in told] == ["ok"], told
        assert readers(log.service) == [process]
        received += drained(client)
    assert body(bytes(received)) == docker_logs(engine, container)


def test_search_that_takes_long(engine: PrivateEngine, container: str, log: Watched) -> None:
    """A pattern that is slow on long lines finds what matches."""
    engine.run(container, LONG_LINES)
    wait_until(lambda: engine.state(container) == "exited", "the container to write")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(log.records, q=PATTERN, regex=1, case=1)
        wait_until(lambda: reader_rows(log.service), "a reader", 5)
        while time.monotonic() < began + HANG_SECONDS + 2:
            assert_well(log)
            time.sleep(0.25)
        logs, end = answer.result(60)
    assert [message["data"]["line"] for message in logs] == ["xy"]
    assert (end["lines"], end["complete"]) == (3, True)


def drained(client: socket.socket) -> bytes:
    """Return the rest of a chunked answer."""
    received = bytearray()
    while not received.endswith(b"\r\n0\r\n\r\n"):
        data = client.recv(65_536)
        assert data, "the answer was broken off"
        received += data
    return bytes(received)


def body(answer: bytes) -> bytes:
    """Return the body of a chunked answer without its chunks' heads."""
    rest = answer.partition(b"\r\n\r\n")[2]
    parts = []
    while (size := re.match(rb"([0-9a-fA-F]+)\r\n", rest)) and int(size[1], 16):
        start = size.end()
        stop = start + int(size[1], 16)
        parts.append(rest[start:stop])
        rest = rest[stop + 2 :]
    return b"".join(parts)
