"""The log of an application across deployments: replaced containers, then the present one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service.deployments import Repository, dockerfile, remove_deployed
from tests.support.service.engine import PrivateEngine
from tests.support.service.reading import Reading
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.steps]

LINES = 8_000

#: Lines on both streams, a long one and an empty one; and one more when it is told to end.
WRITE = f"""trap 'echo bye; exit' TERM
seq 1 {LINES} | while read i; do
  case $i in *77) echo error $i ümläut >&2;; *) echo line $i of {{name}};; esac
done
echo $(printf '%020000d' 1); echo; echo ready; while :; do sleep 0.05; done"""


class Deployed:
    """An application of which three deployments ran, and what its containers wrote."""

    def __init__(self, service: Service, engine: PrivateEngine, folder: Path) -> None:
        self.name = "kept-logs"
        self.service = service
        self.written: list[list[bytes]] = []
        repository = Repository(folder, {"README": "A program that writes\n"})
        self.app = service.add_app(self.name, self.name, "--git", repository.url)
        for number in range(3):
            script = "; ".join(WRITE.format(name=f"container {number}").splitlines())
            # The separators of a shell's words that must not stand before a semicolon.
            script = script.replace("do; ", "do ")
            repository.commit({"Dockerfile": dockerfile(run=script)}, f"Version {number}")
            service.mist("deploy", self.name)
            wait_until(lambda: "ready" in engine.lines(self.name), "the container to write")
            plain, stamped = [
                bytes(engine.client.logs(self.name, timestamps=stamps)).splitlines(keepends=True)
                for stamps in (False, True)
            ]
            # The engine repeats the time stamp within a long line.
            self.written.append([b[:31] + a for a, b in zip(plain, stamped, strict=True)])

    @property
    def expected(self) -> bytes:
        """What ``docker logs`` would print for all containers, one after the other."""
        first, second, present = [[line[31:] for line in lines] for lines in self.written]
        return b"".join([*first, b"bye\n", *second, b"bye\n", *present])


@pytest.fixture(scope="module")
def deployed(engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The application, on a service of its own."""
    service = Service(
        engine.host, {"deployments.settle_seconds": 0.5, "supervisor.poll_seconds": 0.2}
    )
    try:
        service.start()
        yield Deployed(service, engine, tmp_path_factory.mktemp("kept") / "repository")
    finally:
        service.destroy()
        remove_deployed(engine)


@pytest.fixture(scope="module")
def log(deployed: Deployed) -> Reading:
    """The application's log over HTTP."""
    return Reading(deployed.service, f"/api/apps/{deployed.app}/logs", deployed.service.login())


@pytest.fixture(scope="module")
def lines(log: Reading) -> list[dict[str, Any]]:
    """All lines as messages, with their time stamps."""
    return log.records()[0]


def test_the_log_goes_on_before_the_present_container(deployed: Deployed, log: Reading) -> None:
    """Both directions give each byte of all three containers, once and in order."""
    assert log.text() == deployed.expected
    assert log.text(order="desc").split(b"\n")[::-1][1:] == deployed.expected.split(b"\n")[:-1]


def test_messages_keep_their_times_and_streams(
    deployed: Deployed, lines: list[dict[str, Any]]
) -> None:
    """The times are the engine's, also those of replaced containers."""
    stamped = [f"{m['timestamp']} {m['data']['line']}\n".encode() for m in lines]
    assert [line for line in stamped if not line.endswith(b" bye\n")] == [
        line for container in deployed.written for line in container
    ]
    errors = sum(m["data"]["stream"] == "stderr" for m in lines)
    assert errors == 3 * (LINES // 100)


@pytest.mark.parametrize("count", [1, LINES, LINES + 20, 2 * LINES + 4_000, 4 * LINES])
def test_tails_cross_the_border(deployed: Deployed, log: Reading, count: int) -> None:
    """The last lines are those of all containers together, in both directions."""
    expected = deployed.expected.splitlines()[-count:]
    assert log.text(tail=count).splitlines() == expected
    newest = log.text(order="desc", limit=count).splitlines()
    assert newest == expected[::-1]


def test_ranges_and_searches_cross_the_border(log: Reading, lines: list[dict[str, Any]]) -> None:
    """A range from one replaced container into the next, searched in both directions."""
    first, last = LINES // 2, LINES + LINES // 2
    since, until = lines[first]["timestamp"], lines[last]["timestamp"]
    inside = [m for m in lines if since <= m["timestamp"] < until]
    assert log.records(since=since, until=until)[0] == inside
    assert log.records(since=since, until=until, tail=LINES - 5)[0] == inside[-LINES + 5 :]
    wanted = [m for m in inside if m["data"]["stream"] == "stderr"]
    found, end = log.records(since=since, until=until, stream="stderr", q="ERROR", order="desc")
    assert found == wanted[::-1]
    assert (end["complete"], end["lines"], end["matched"]) == (True, len(inside), len(wanted))
    limited, end = log.records(q="error", limit=LINES // 100 + 3)
    assert limited == [m for m in lines if m["data"]["stream"] == "stderr"][: LINES // 100 + 3]
    assert end["complete"] is False


def test_a_damaged_file_is_told_and_the_rest_is_sent(deployed: Deployed, log: Reading) -> None:
    """The lines around the damage come, and ``complete`` is false."""
    home = deployed.service.paths.home
    first, second = sorted(home.glob("kept-logs/*/*.zip"))
    assert {path.stat().st_mode & 0o777 for path in (first, second)} == {0o600}
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    try:
        logs, end = log.records()
        backwards, _ = log.records(order="desc")
    finally:
        first.write_bytes(whole)
    expected = deployed.expected.decode().splitlines()[len(deployed.written[0]) + 1 :]
    assert [m["data"]["line"] for m in logs] == expected
    assert backwards == logs[::-1]
    assert end["complete"] is False
    assert "kept is damaged; lines are missing" in end["message"]


def test_kept_logs_end_with_their_deployment(deployed: Deployed, log: Reading) -> None:
    """At its next start the service removes what belongs to no deployment."""
    service, home = deployed.service, deployed.service.paths.home
    kept = sorted(home.glob("kept-logs/*/*.zip"))
    stranger = kept[0].with_name("999.zip")
    stranger.write_bytes(kept[0].read_bytes())
    (home / "kept-logs/777").mkdir()
    service.stop()
    service.start()
    wait_until(lambda: not stranger.exists(), "the stranger's log to be removed")
    wait_until(lambda: not (home / "kept-logs/777").exists(), "the folder to be removed")
    assert sorted(home.glob("kept-logs/*/*")) == kept
    log.headers = {"Cookie": service.login()}
    assert log.text() == deployed.expected
    said = [json.loads(line) for line in service.paths.deployment_log(2).open("rb")]
    texts = [each["data"]["line"] for each in said if each["type"] == "log"]
    assert f"Kept the log of the previous container: {LINES + 4} lines" in texts
