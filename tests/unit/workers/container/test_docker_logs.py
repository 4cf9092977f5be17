"""What a collector asks the engine, and what it makes of the answers."""

from __future__ import annotations

from typing import Any

import pytest

from mist.errors import ContainerNotFound, EngineError, LogNotReadable
from tests.support.engine_server import EngineServer
from workers.container.container import Container, container_of
from workers.container.docker_logs import DockerLogs
from workers.container.frames import Line
from workers.container.resume import ResumePoint

ID = "ab" * 32
INSPECTION: dict[str, Any] = {
    "Id": ID,
    "Name": "/web",
    "Created": "2025-01-15T10:00:00Z",
    "State": {
        "StartedAt": "2025-01-15T10:00:01Z",
        "Status": "running",
        "Running": True,
        "Restarting": False,
    },
    "Config": {"Tty": False},
    "HostConfig": {"AutoRemove": False, "LogConfig": {"Type": "json-file", "Config": {}}},
}
CONTAINER: Container = container_of(INSPECTION)
LOGS = f"/containers/{ID}/logs"


def frame(second: int, text: str) -> bytes:
    """Return a line of standard output as the engine sends it."""
    line = f"2025-01-15T10:30:{second:02d}.000000000Z {text}\n".encode()
    return b"\x01\x00\x00\x00" + len(line).to_bytes(4, "big") + line


@pytest.fixture
def logs(server: EngineServer) -> DockerLogs:
    """Return the source of the only collector."""
    return DockerLogs(server.settings, lambda: 1)


def test_a_container_is_described(server: EngineServer, logs: DockerLogs) -> None:
    """A container that does not exist is None."""
    server.answer("/containers/web/json", INSPECTION)
    assert logs.look("web") == CONTAINER
    server.answers.clear()
    server.answer("/containers/json", [])
    assert logs.look("web") is None


def test_a_container_is_followed_until_it_is_replaced(
    server: EngineServer, logs: DockerLogs
) -> None:
    """While the replaced container runs, its log is the application's."""
    successor = {
        **INSPECTION,
        "Id": "f" * 64,
        "Config": {"Tty": False, "Labels": {"mist.replaces": ID}},
    }
    server.answer("/containers/web/json", successor)
    server.answer(f"/containers/{ID}/json", INSPECTION)
    assert logs.look("web") == container_of(successor)
    assert logs.look("web", ID) == CONTAINER
    assert logs.look("web", "e" * 64) == container_of(successor)
    server.answers.clear()
    server.answer("/containers/web/json", successor)
    stopped = {**INSPECTION, "State": {**INSPECTION["State"], "Running": False}}
    server.answer(f"/containers/{ID}/json", stopped)
    assert logs.look("web", ID) == container_of(successor)


def test_what_a_status_shows_is_described() -> None:
    """Health, driver and the labels of a deployment are known; without them nothing is."""
    assert (CONTAINER.health, CONTAINER.installation, CONTAINER.deployment) == ("", "", None)
    state = {**INSPECTION["State"], "FinishedAt": "2025-01-15T09:00:00Z"}
    labels = {"mist.installation": "ours", "mist.deployment": "15", "mist.app": "1"}
    found = {
        **INSPECTION,
        "State": {**state, "Health": {"Status": "unhealthy"}},
        "Config": {"Tty": False, "Labels": labels},
        "HostConfig": {"AutoRemove": False, "LogConfig": {"Type": "syslog", "Config": {}}},
    }
    one = container_of(found)
    assert (one.health, one.log_driver) == ("unhealthy", "syslog")
    assert (one.installation, one.deployment) == ("ours", 15)
    assert (one.turned, one._replace(running=False).turned) == (one.started, one.finished)
    for labels in ({"mist.deployment": "x"}, {"mist.deployment": "-1"}):
        assert container_of({**found, "Config": {"Tty": 0, "Labels": labels}}).deployment is None
    for health in (None, {"Status": "none"}, {}):
        assert container_of({**found, "State": {**state, "Health": health}}).health == ""


@pytest.mark.parametrize("status", [500, 501])
def test_driver_that_cannot_be_read(server: EngineServer, logs: DockerLogs, status: int) -> None:
    """The engine's refusal becomes an error that names the driver and what to do."""
    words = "configured logging driver does not support reading"
    server.answer(LOGS, {"message": words}, status)
    with pytest.raises(LogNotReadable, match=r"'json-file'.*can read.*--log-driver local"):
        logs.last_line(CONTAINER, None)


def test_the_state_has_the_engines_words(server: EngineServer, logs: DockerLogs) -> None:
    """A container that is gone by then has its state's name."""
    server.answer("/containers/json", [{"Status": "Up 2 hours"}])
    assert logs.words(CONTAINER) == "Up 2 hours"
    server.answer("/containers/json", [])
    assert logs.words(CONTAINER) == "Running"
    server.answer("/containers/json", {"message": "no"}, 500)
    assert logs.words(CONTAINER) == "Running"


def test_a_history_is_read_to_its_end(server: EngineServer, logs: DockerLogs) -> None:
    """Its last lines are asked for by number."""
    server.answer(LOGS, frame(1, "a") + frame(2, "b"))
    with logs.history(CONTAINER, None, 2) as stream:
        texts = [line.text for lines in stream.all() for line in lines]
    assert texts == ["a", "b"]
    path, query = server.queries[-1]
    assert (path, query["tail"], "follow" in query, "since" in query) == (LOGS, "2", False, False)


def test_a_history_begins_behind_the_resume_point(server: EngineServer, logs: DockerLogs) -> None:
    """The engine gives the line itself again, which is left out."""
    server.answer(LOGS, frame(1, "a") + frame(2, "b"))
    with logs.history(CONTAINER, None, None) as stream:
        first = next(line for lines in stream.all() for line in lines)
    resume = ResumePoint(line=first)
    with logs.history(CONTAINER, resume, None) as stream:
        texts = [line.text for lines in stream.all() for line in lines]
    assert texts == ["b"]
    assert server.queries[-1][1]["tail"] == "all"
    assert "since" not in server.queries[-1][1]


@pytest.mark.parametrize(("compressed", "since"), [(True, "1736936999.000000001"), (False, None)])
def test_compressed_files_before_the_resume_point_are_spared(
    server: EngineServer, logs: DockerLogs, compressed: bool, since: str | None
) -> None:
    """Only an engine that would unpack files is asked by time, from a second before."""
    server.answer(LOGS, frame(1, "a") + frame(2, "b"))
    resume = ResumePoint(Line("2025-01-15T10:30:00.000000001Z", "stdout", "a"))
    one = CONTAINER._replace(compressed=compressed)
    with logs.history(one, resume, 200, near=True) as stream:
        list(stream.all())
    assert server.queries[-1][1].get("since") == since
    logs.last_line(one, resume)
    assert server.queries[-1][1].get("since") == since


def test_the_newest_line_is_one_entry(server: EngineServer, logs: DockerLogs) -> None:
    """An empty log has none."""
    server.answer(LOGS, frame(9, "newest"))
    newest = logs.last_line(CONTAINER, None)
    assert newest is not None
    assert newest.text == "newest"
    assert server.queries[-1][1]["tail"] == "1"
    server.answer(LOGS, b"")
    assert logs.last_line(CONTAINER, None) is None


def test_a_container_that_is_gone_has_no_log(server: EngineServer, logs: DockerLogs) -> None:
    """Every other refusal is the engine's own error."""
    server.answer(LOGS, {"message": "No such container"}, 404)
    with pytest.raises(ContainerNotFound):
        logs.last_line(CONTAINER, None)
    server.answer(LOGS, {"message": "driver does not support reading"}, 500)
    with pytest.raises(EngineError, match="driver does not support reading"):
        logs.last_line(CONTAINER, None)
