"""Older lines of a container's log over HTTP, next to what ``docker logs`` prints."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mist.settings import Settings
from tests.integration.conftest import MakeService
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

LINES = 100_000

#: Lines of various lengths on both streams, with some that only occur once in a while.
SCRIPT = f"""
seq 1 {LINES} | while read i; do
  case $i in
    *77) echo "WARN slow request $i ümläut" >&2;;
    *5000) echo "ERROR $i";;
    *) echo "line $i of the log, {{\\"key\\": $i}}";;
  esac
done
"""


def docker_logs(engine: PrivateEngine, name: str, **options: Any) -> bytes:
    """Return what ``docker logs`` prints, both streams in the engine's order."""
    return bytes(engine.client.logs(name, stdout=True, stderr=True, **options))


class Reading:
    """Requests for older lines of one container as one user."""

    def __init__(self, service: Service, path: str, cookie: str) -> None:
        self.url = f"{service.url}{path}"
        self.headers = {"Cookie": cookie}

    def get(self, **parameters: object) -> requests.Response:
        """Return the whole answer."""
        return requests.get(self.url, parameters, headers=self.headers, timeout=100)

    def text(self, **parameters: object) -> bytes:
        """Return the log as text."""
        answer = self.get(format="text", **parameters)
        assert answer.status_code == 200, answer.text
        return answer.content

    def records(self, **parameters: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the log messages, and the data of the final record."""
        answer = self.get(**parameters)
        assert answer.status_code == 200, answer.text
        *logs, end = map(json.loads, answer.content.splitlines())
        assert end["type"] == "end"
        return logs, end["data"]


@pytest.fixture(scope="module")
def written(engine: PrivateEngine) -> Iterator[str]:
    """A container that has written many lines, and has ended."""
    name = "older-lines"
    engine.run(name, SCRIPT)
    wait_until(lambda: engine.state(name) == "exited", "the container to write", 60)
    yield name
    engine.remove(name)


@pytest.fixture(scope="module")
def log(service: Service, admin: str, written: str) -> Reading:
    """The log of that container, as an admin reads it by the application."""
    app = service.add_app(written, written)
    return Reading(service, f"/api/apps/{app}/logs", admin)


def test_whole_log_is_what_docker_logs_prints(
    engine: PrivateEngine, written: str, log: Reading
) -> None:
    """The text is byte-identical, forwards and backwards."""
    expected = docker_logs(engine, written)
    assert len(expected.splitlines()) == LINES
    assert log.text() == expected
    assert log.text(order="desc").splitlines() == expected.splitlines()[::-1]


def test_messages_are_those_of_the_websocket_route(
    engine: PrivateEngine, written: str, log: Reading
) -> None:
    """Each record is a log message; the last one sums up."""
    stamped = docker_logs(engine, written, timestamps=True).decode().splitlines()
    logs, end = log.records()
    assert [f"{m['timestamp']} {m['data']['line']}" for m in logs] == stamped
    assert {m["type"] for m in logs} == {"log"}
    assert logs[76]["data"] == {"line": "WARN slow request 77 ümläut", "stream": "stderr"}
    last = logs[-1]["timestamp"]
    assert end == {"lines": LINES, "matched": LINES, "complete": True, "reached": last}
    assert log.text(timestamps=1).decode().splitlines() == stamped


@pytest.mark.parametrize("count", [0, 1, 100, 999, 1_000, 30_000, 70_000, LINES, LINES + 1])
def test_tail(engine: PrivateEngine, written: str, log: Reading, count: int) -> None:
    """The last lines are those of ``docker logs --tail``, also when they exceed the memory."""
    assert log.text(tail=count) == (docker_logs(engine, written, tail=count) if count else b"")
    newest = log.text(order="desc", limit=max(1, count)).splitlines()[: count or None]
    assert newest[::-1] == docker_logs(engine, written, tail=max(1, count)).splitlines()
