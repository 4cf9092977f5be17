"""Older lines of a container's log over HTTP, next to what ``docker logs`` prints."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.integration.conftest import MakeService
from tests.support.service.engine import PrivateEngine
from tests.support.service.log_queries import agree, script
from tests.support.service.reading import Reading, drain, readers, slow_request
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

LINES = 100_000


def docker_logs(engine: PrivateEngine, name: str, **options: Any) -> bytes:
    """Return what ``docker logs`` prints, both streams in the engine's order."""
    return bytes(engine.client.logs(name, stdout=True, stderr=True, **options))


@pytest.fixture(scope="module")
def written(engine: PrivateEngine) -> Iterator[str]:
    """A container that has written many lines, and has ended."""
    name = "older-lines"
    engine.run(name, script(LINES))
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
    found = [m["data"] for m in logs if m["data"]["line"].startswith("WARN slow request 77 ")]
    assert found == [{"line": "WARN slow request 77 ümläut", "stream": "stderr"}]
    last = logs[-1]["timestamp"]
    assert end == {"lines": LINES, "matched": LINES, "complete": True, "reached": last}
    assert log.text(timestamps=1).decode().splitlines() == stamped


@pytest.mark.parametrize("count", [0, 1, 1_000, 30_000, 70_000, LINES + 1])
def test_tail(engine: PrivateEngine, written: str, log: Reading, count: int) -> None:
    """The last lines are those of ``docker logs --tail``, also when they exceed the memory."""
    assert log.text(tail=count) == (docker_logs(engine, written, tail=count) if count else b"")
    newest = log.text(order="desc", limit=max(1, count)).splitlines()[: count or None]
    assert newest[::-1] == docker_logs(engine, written, tail=max(1, count)).splitlines()


@pytest.mark.timeout(300)  # a query of a whole log takes seconds on a busy machine
def test_random_queries_agree_with_docker_logs_and_grep(
    engine: PrivateEngine, written: str, log: Reading
) -> None:
    """Ranges, tails, searches and orders choose the lines that ``docker logs | grep`` would."""
    agree(engine, written, log, examples=10)


def test_one_stream(engine: PrivateEngine, written: str, log: Reading) -> None:
    """``stream`` leaves out the other one."""
    expected = engine.client.logs(written, stdout=False, stderr=True)
    assert log.text(stream="stderr") == expected
    logs, end = log.records(stream="stdout", order="desc", limit=2)
    assert {m["data"]["stream"] for m in logs} == {"stdout"}
    assert (end["matched"], end["complete"]) == (2, False)


def test_download_and_compression(engine: PrivateEngine, written: str, log: Reading) -> None:
    """A download has a file name, and is compressed only if the client accepts that."""
    answer = log.get(format="text", download=1, since="2h", until="2999-01-01T00:00:00Z")
    assert re.fullmatch(
        rf'attachment; filename="{written}-\d{{8}}T\d{{6}}Z-to-29990101T000000Z\.log"',
        answer.headers["Content-Disposition"],
    )
    assert answer.headers["Content-Encoding"] == "gzip"  # requests asks for it, and decodes it
    assert answer.content == docker_logs(engine, written)
    log.headers["Accept-Encoding"] = "gzip;q=0, *"
    try:
        plain = log.get(limit=1)
    finally:
        del log.headers["Accept-Encoding"]
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Content-Type"] == "application/x-ndjson"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("since=yesterday", "since must be an RFC 3339 time"),
        ("since=1h&until=2h", "must be before until"),
        ("tail=-1", "tail must be an integer of 0 or more, not '-1'"),
        ("tail=5&order=desc", "use limit=N with order=desc"),
        ("order=up", "order must be asc or desc, not 'up'"),
        ("limit=0", "limit must be from 1"),
        ("stream=stdin", "stream must be stdout or stderr"),
        ("format=xml", "format must be ndjson or text"),
        ("regex=yes", "regex must be 0 or 1"),
        ("q=a&q=b", "q is given 2 times"),
        ("grep=x", "there is no parameter 'grep'"),
        ("q=(&regex=1", "not a valid RE2 regular expression: missing ): ("),
        ("q=(%3F%3Da)&regex=1", "not a valid RE2 regular expression"),
        ("q=" + "x" * 5_000, "q has 5000 bytes, and at most 4096 are allowed"),
    ],
)
def test_invalid_parameters(log: Reading, query: str, words: str) -> None:
    """The answer is 400, and says what to do."""
    answer = requests.get(f"{log.url}?{query}", headers=log.headers, timeout=30)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["message"]


def test_rights(
    service: Service, admin: str, engine: PrivateEngine, written: str, log: Reading
) -> None:
    """A log is for users with a grant; only admins learn which containers exist."""
    password = "correct horse battery staple"
    for email in ("reader@example.com", "other@example.com"):
        service.add_user(email, password)
    app = service.add_app("older-granted", written)
    service.mist("app", "grant", "older-granted", "reader@example.com")
    reader, other = (service.login(f"{who}@example.com", password) for who in ("reader", "other"))

    def status(path: str, cookie: str) -> int:
        headers = {"Cookie": cookie}
        url = f"{service.url}{path}?limit=1"
        return requests.get(url, headers=headers, timeout=30).status_code

    granted, others = f"/api/apps/{app}/logs", log.url.removeprefix(service.url)
    assert [status(granted, cookie) for cookie in (reader, other, admin, "")] == [
        200,
        403,
        200,
        401,
    ]
    assert [status(others, cookie) for cookie in (reader, other)] == [403, 403]
    assert status("/api/apps/99999/logs", other) == 403
    assert status("/api/apps/99999/logs", admin) == 404
    for name, found in ((written, 200), ("no-such-container", 404)):
        path = f"/api/containers/{name}/logs"
        assert [status(path, cookie) for cookie in (reader, "", admin)] == [403, 401, found]


def test_slow_client_holds_the_reader_back(service: Service, log: Reading) -> None:
    """Nothing piles up: the reader stands still, and small; others are served meanwhile."""
    with slow_request(log):
        (process,) = readers(service)
        wait_until(lambda: _idle(process), "the reader to stand still", 20)
        assert process.memory_info().rss < 64 << 20
        assert len(log.records(order="desc", limit=3)[0]) == 3
        assert requests.get(f"{service.url}/healthz", timeout=5).status_code == 200
    wait_until(lambda: not readers(service), "the reader to end", 1.5)


def _idle(process: psutil.Process) -> bool:
    before = process.cpu_times()
    time.sleep(0.3)
    return process.cpu_times() == before


def test_engine_that_stops_answering(own_engine: PrivateEngine, make_service: MakeService) -> None:
    """The final record says that the log is incomplete, and no reader is left."""
    own_engine.run("busy", script(LINES))
    wait_until(lambda: own_engine.state("busy") == "exited", "the container to write", 60)
    service = make_service(own_engine, {"engine.timeout_seconds": 1})
    app = service.add_app("busy", "busy")
    log = Reading(service, f"/api/apps/{app}/logs", service.login())
    for harm in (signal.SIGSTOP, signal.SIGKILL):
        with slow_request(log, "format=ndjson") as client:
            os.kill(own_engine.pid, harm)
            client.settimeout(30)
            rest = drain(client)
        if harm is signal.SIGSTOP:
            os.kill(own_engine.pid, signal.SIGCONT)
        end = json.loads(re.findall(rb'\{"type":"end".*\}\}', rest)[-1])
        assert end["data"]["complete"] is False
        assert "unreachable" in end["data"]["message"]
        wait_until(lambda: not readers(service), "the reader to end", 5)
    assert log.get(limit=1).status_code == 503


def test_rotated_and_compressed_files(
    service: Service, engine: PrivateEngine, container: str, admin: str
) -> None:
    """Lines in compressed files belong to the range, unlike those of ``docker logs --since``."""
    options = {"max-size": "200k", "max-file": "4", "compress": "true"}
    engine.run(container, "seq 1 20000", log_options=options)
    wait_until(lambda: engine.state(container) == "exited", "the container to write")
    log = Reading(service, f"/api/containers/{container}/logs", admin)
    stamped = docker_logs(engine, container, timestamps=True).splitlines()
    assert 1_000 < len(stamped) < 20_000  # the oldest file is gone
    assert log.text(timestamps=1).splitlines() == stamped
    assert log.text(timestamps=1, order="desc").splitlines() == stamped[::-1]
    for at in (1, len(stamped) // 2, len(stamped) - 1):
        since = stamped[at].partition(b" ")[0].decode()
        assert log.text(timestamps=1, since=since).splitlines() == stamped[at:]


def test_a_container_that_writes_meanwhile(
    service: Service, engine: PrivateEngine, container: str, admin: str
) -> None:
    """Backwards, the lines are consecutive although the log grows."""
    # Not without an end: on a busy machine it would write faster than anything can read.
    loop = "while [ ! -e /tmp/stop -a $i -lt 200000 ]; do echo $i; i=$((i+1)); done"
    script = f"i=0; {loop}; sleep 600"
    engine.run(container, script)
    log = Reading(service, f"/api/containers/{container}/logs", admin)
    wait_until(lambda: len(engine.lines(container)) > 20_000, "the container to write")
    for query in ({"order": "desc"}, {"order": "desc", "limit": 5_000}):
        numbers = [int(line) for line in log.text(**query).splitlines()]
        assert numbers == list(range(numbers[0], numbers[0] - len(numbers), -1))
    assert len(numbers) == 5_000
    assert len(log.text(tail=5_000).splitlines()) == 5_000
    engine.say(container, "true > /tmp/stop")


def test_terminal_long_lines_and_odd_bytes(
    service: Service, engine: PrivateEngine, container: str, admin: str
) -> None:
    """Text is what ``docker logs`` prints, whatever the bytes; messages are valid JSON."""
    script = (
        r"printf 'bad \377 byte\n\nlong '; i=0; while [ $i -lt 4000 ]; do printf 'ä0123456789'; "
        r"i=$((i+1)); done; printf '\nend without newline'"
    )
    for tty in (False, True):
        engine.remove(container)
        engine.run(container, script, tty=tty)
        wait_until(lambda: engine.state(container) == "exited", "the container to write")
        log = Reading(service, f"/api/containers/{container}/logs", admin)
        assert log.text() == docker_logs(engine, container)
        lines = [m["data"]["line"] for m in log.records(order="desc")[0]]
        assert lines == ["end without newline", "long " + "ä0123456789" * 4_000, "", "bad � byte"]
        assert log.records(q="9$", regex=1)[1]["matched"] == 1


def test_container_that_is_removed_meanwhile(
    service: Service, engine: PrivateEngine, container: str, admin: str
) -> None:
    """The final record says so, and no reader is left."""
    engine.run(container, script(LINES))
    wait_until(lambda: engine.state(container) == "exited", "the container to write", 60)
    log = Reading(service, f"/api/containers/{container}/logs", admin)
    with slow_request(log, "format=ndjson") as client:
        engine.remove(container)
        rest = drain(client)
    end = json.loads(re.findall(rb'\{"type":"end".*\}\}', rest)[-1])["data"]
    assert (end["complete"], end["message"]) == (
        False,
        "the container was removed while its log was read",
    )
    wait_until(lambda: not readers(service), "the reader to end", 5)


def test_damaged_log(service: Service, engine: PrivateEngine, container: str, admin: str) -> None:
    """What the engine can read is sent once and in order, with a final record."""
    engine.run(container, "seq 1 3000")
    wait_until(lambda: engine.state(container) == "exited", "the container to write")
    log = Reading(service, f"/api/containers/{container}/logs", admin)
    path = Path(engine.client.inspect_container(container)["LogPath"])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2_000], b'{"log":"broken\x00\n', *lines[2_001:]]))
    # The engine may end there, or leave out some lines and go on.
    numbers = [int(m["data"]["line"]) for m in log.records()[0]]
    assert numbers[:2_000] == list(range(1, 2_001))
    assert numbers == sorted(set(numbers))
    newest = [int(m["data"]["line"]) for m in log.records(order="desc", limit=500)[0]]
    assert newest == sorted(set(newest), reverse=True)
    path.write_bytes(b"")
    assert log.records() == ([], {"lines": 0, "matched": 0, "complete": True, "reached": None})


def test_restarts_among_the_lines(
    engine: PrivateEngine, service: Service, admin: str, container: str
) -> None:
    """On request, there are statuses where the container was started, restarted and stopped."""
    engine.run(container, "echo begun; sleep 600")
    wait_until(lambda: engine.lines(container) == ["begun"], "the first run")
    engine.client.restart(container, timeout=0)
    wait_until(lambda: engine.lines(container) == ["begun"] * 2, "the second run")
    engine.client.stop(container, timeout=0)
    log = Reading(service, f"/api/containers/{container}/logs", admin)
    expected = ["Started", "begun", "Restarted", "begun", "Exited (137)"]
    for order, step in (("asc", 1), ("desc", -1)):
        records, end = log.records(status=1, order=order)
        found = [record["data"].get("status") or record["data"]["line"] for record in records]
        assert found == expected[::step]
        assert (end["lines"], end["matched"], end["complete"]) == (2, 2, True)
    assert [record["type"] for record in log.records()[0]] == ["log", "log"]
    refused = log.get(status=1, format="text")
    assert (refused.status_code, "format=text" in refused.text) == (400, True)
