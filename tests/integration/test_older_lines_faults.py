"""Readers of older lines under faults: each ends, and says so."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from mist.settings import load_settings
from mist.store import open_store
from tests.support.service.engine import PrivateEngine
from tests.support.service.reading import (
    Reading,
    drain,
    final_record,
    readers,
    slow_request,
    until_end,
)
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

LINES: Final = 20_000

#: More text than fits into all buffers between a reader and a client.
SCRIPT: Final = f"seq 1 {LINES} | while read i; do echo $i {'x' * 200}; done"

#: A pattern that RE2 needs minutes for, and that no line matches.
ENDLESS: Final = "regex=1&q=" + quote("(?:.?){999}(?:.?){999}zz$")

PASSWORD: Final = "correct horse battery staple"


@pytest.fixture(scope="module")
def written(engine: PrivateEngine) -> Iterator[str]:
    """A container that has written some lines, and has ended."""
    name = "older-lines-faults"
    engine.run(name, SCRIPT)
    wait_until(lambda: engine.state(name) == "exited", "the container to write", 60)
    yield name
    engine.remove(name)


@pytest.fixture(scope="module")
def strict(engine: PrivateEngine) -> Iterator[Service]:
    """A service with narrow limits."""
    limits = {"max_per_user": 1, "max_running": 2, "seconds": 4}
    settings = {f"reader.{name}": value for name, value in limits.items()}
    service = Service(engine.host, settings | {"auth.check_seconds": 1})
    try:
        service.start()
        yield service
    finally:
        service.destroy()


@pytest.fixture(scope="module")
def app(strict: Service, written: str) -> int:
    """An application of the service with narrow limits."""
    return strict.add_app("faults", written)


@pytest.fixture(scope="module")
def log(strict: Service, app: int) -> Reading:
    """Its log, as the administrator reads it."""
    return Reading(strict, f"/api/apps/{app}/logs", strict.login())


def granted(service: Service, app: int, email: str) -> Reading:
    """Return the log of an application as a new user reads it."""
    service.add_user(email, PASSWORD)
    service.mist("app", "grant", "faults", email)
    return Reading(service, f"/api/apps/{app}/logs", service.login(email, PASSWORD))


def test_bounds_per_user_and_in_total(strict: Service, app: int, log: Reading) -> None:
    """Beyond the bounds the answer is 429; a client that leaves makes room."""
    second, third = (granted(strict, app, f"{name}@example.com") for name in ("two", "three"))
    with slow_request(log, ENDLESS):
        for path in (log, Reading(strict, "/api/containers/nowhere/logs", log.headers["Cookie"])):
            refused = path.get(limit=1)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
            assert "reader.max_per_user" in refused.json()["message"]
        with slow_request(second, ENDLESS):
            refused = third.get(limit=1)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
            assert "reader.max_running" in refused.json()["message"]
        wait_until(lambda: third.get(limit=1).status_code == 200, "room for another reader", 20)
    wait_until(lambda: not readers(strict), "the readers to end", 20)


@pytest.mark.parametrize("query", [ENDLESS, "format=text"])
def test_revoked_grant_ends_the_answer(
    strict: Service, app: int, engine: PrivateEngine, written: str, query: str
) -> None:
    """It is noticed while no lines come, and while the client takes none."""
    email = f"revoked-{len(query)}@example.com"
    other = granted(strict, app, email)
    store = open_store(load_settings(strict.environment), strict.paths)
    try:
        with slow_request(other, query) as client:
            (reader,) = readers(strict)
            user = store.users.by_email(email)
            assert user is not None
            store.apps.revoke(app, user.id)
            wait_until(lambda: not reader.is_running(), "the reader to end", 20)
            # With the limit of time, there would be a final record.
            assert not until_end(client).endswith(b"0\r\n\r\n")
    finally:
        store.close()
    assert other.get(limit=1).status_code == 403


def test_time_limit_of_a_pattern_that_takes_minutes(strict: Service, log: Reading) -> None:
    """The final record says so, and where to continue."""
    with slow_request(log, ENDLESS) as client:
        end = final_record(drain(client))
    assert end["complete"] is False
    assert "the time limit of 4 s (reader.seconds)" in end["message"]
    wait_until(lambda: not readers(strict), "the reader to end", 20)


def test_long_patterns(service: Service, admin: str, written: str) -> None:
    """Beyond the limit a pattern is refused; up to it, it may be encoded in any way."""
    log = Reading(service, f"/api/containers/{written}/logs", admin)
    for size, status, words in (
        (4_097, 400, "q has 4097 bytes, and at most 4096 are allowed"),
        (10_000, 400, "q has 10000 bytes, and at most 4096 are allowed"),
        (60_000, 414, "the request line is longer than 32768 bytes"),
    ):
        refused = log.get(q="ü" * (size // 2) + "x" * (size % 2))
        assert refused.status_code == status, refused.text
        assert words in refused.json()["message"]
    assert log.records(q="ü" * 2_048)[1]["matched"] == 0
    assert log.get(q="(" * 4_096, regex=1).status_code == 400


def test_reader_needs_no_disk(service: Service, admin: str, written: str) -> None:
    """A reader writes no file, so that a full disk does not stop it."""
    log = Reading(service, f"/api/containers/{written}/logs", admin)
    with slow_request(log, "format=ndjson") as client:
        (reader,) = readers(service)
        reader.rlimit(resource.RLIMIT_FSIZE, (0, 0))
        # Besides its standard error, where the service's own log goes.
        assert not [file for file in reader.open_files() if file.fd > 2]
        end = final_record(drain(client))
    assert (end["lines"], end["complete"]) == (LINES, True)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("cut", ["in a line", "to nothing", "removed"])
def test_log_file_that_is_cut_off(
    service: Service, engine: PrivateEngine, container: str, admin: str, cut: str, order: str
) -> None:
    """What can be read is sent in order, with a final record or the reason."""
    engine.run(container, f"seq 1 {LINES}")
    wait_until(lambda: engine.state(container) == "exited", "the container to write")
    path = Path(engine.client.inspect_container(container)["LogPath"])
    log = Reading(service, f"/api/containers/{container}/logs", admin)
    if cut == "removed":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2 + 7 if cut == "in a line" else 0)
    answer = log.get(order=order)
    assert answer.status_code == 200, answer.text
    logs, end = log.records(order=order)
    numbers = [int(message["data"]["line"]) for message in logs]
    count = len(numbers)
    assert sorted(numbers) == list(range(1, count + 1))
    assert numbers == sorted(numbers, reverse=order == "desc")
    assert (LINES // 3 < count < LINES) if cut == "in a line" else count == 0
    assert end["lines"] == count
    wait_until(lambda: not readers(service), "the reader to end", 20)


def test_log_file_that_is_cut_off_while_it_is_read(
    service: Service, engine: PrivateEngine, container: str, admin: str
) -> None:
    """The final record says that lines are missing."""
    engine.run(container, f"seq 1 {5 * LINES}")
    wait_until(lambda: engine.state(container) == "exited", "the container to write", 60)
    path = Path(engine.client.inspect_container(container)["LogPath"])
    log = Reading(service, f"/api/containers/{container}/logs", admin)
    with slow_request(log, "format=ndjson") as client:
        os.truncate(path, path.stat().st_size - 100_000)
        end = final_record(drain(client))
    assert end["complete"] is False
    assert "the log" in end["message"]
    wait_until(lambda: not readers(service), "the reader to end", 20)
