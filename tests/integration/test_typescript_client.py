"""``@mist/client`` in Node against the real service, through everything that cuts it off."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.integration.conftest import MakeService
from tests.integration.harness.clients import WebsocketsClient
from tests.integration.harness.engine import PrivateEngine, wait_until
from tests.integration.harness.proxy import CuttingProxy
from tests.integration.harness.service import Service
from tests.integration.harness.typescript import Follower
from tests.integration.test_container_stream import numbered

pytestmark = pytest.mark.engine

#: About 300 lines a second, for ten seconds.
PAUSE_EVERY = 6
LINES = 3_000

Follow = Callable[..., Follower]


@pytest.fixture
def follow() -> Iterator[Follow]:
    """``follow(kind, **options)``; what was not ended is ended after the test."""
    followers: list[Follower] = []

    def start(kind: str, **options: object) -> Follower:
        followers.append(Follower(kind, **options))
        return followers[-1]

    yield start
    for follower in followers:
        follower.destroy()


@pytest.fixture
def proxy(service: Service) -> Iterator[CuttingProxy]:
    """A proxy in front of the shared service."""
    proxy = CuttingProxy(service.port)
    yield proxy
    proxy.close()


def numbers(engine: PrivateEngine, container: str, count: int = LINES) -> None:
    """Run a container that writes ``count`` numbers, 300 a second."""
    engine.run(container, numbered(count, pause_every=PAUSE_EVERY))


def assert_complete(follower: Follower, count: int = LINES, seconds: float = 60.0) -> None:
    """Wait for the last number; each came once and in order, and the program ends by itself."""
    last = str(count - 1)
    follower.wait_for(lambda: last in follower.lines[-1:], f"line {last}", seconds)
    first = int(follower.lines[0])
    assert follower.lines == [str(number) for number in range(first, count)]
    assert follower.of("skipped") == []
    assert set(follower.missing) <= {(0, True)}
    assert follower.end() == 0


# ------------------------------------------------------------- cut connections


@pytest.mark.parametrize("verb", ["reset", "hang_up", "half_close"])
def test_cut_connections_lose_and_repeat_nothing(
    service: Service,
    engine: PrivateEngine,
    container: str,
    admin: str,
    proxy: CuttingProxy,
    follow: Follow,
    verb: str,
) -> None:
    """A TCP connection that ends, in each of the ways in which one can."""
    numbers(engine, container)
    app = service.add_app(container, container)
    follower = follow("logs", url=proxy.url, headers={"Cookie": admin}, appId=app)
    for count in range(200, LINES, 400):
        follower.wait_lines(count)
        getattr(proxy, verb)()
        follower.wait_state("reconnecting", 10)
    assert_complete(follower)
    assert len(follower.missing) == 7


def test_stalled_connection_is_replaced(
    service: Service,
    engine: PrivateEngine,
    container: str,
    admin: str,
    proxy: CuttingProxy,
    follow: Follow,
) -> None:
    """One on which nothing comes any more, and that does not end either."""
    numbers(engine, container)
    app = service.add_app(container, container)
    options = {"url": proxy.url, "headers": {"Cookie": admin}, "appId": app, "quietAfter": 600}
    follower = follow("logs", **options)
    for count in (300, 1200, 2100):
        follower.wait_lines(count)
        before = len(follower.lines)
        proxy.stall()
        follower.wait_lines(before + 600)
    assert_complete(follower)
    assert follower.state == "ended"
    assert "reconnecting" not in {event["state"] for event in follower.of("state")}


def test_dead_network_is_noticed_and_survived(
    service: Service,
    engine: PrivateEngine,
    container: str,
    admin: str,
    proxy: CuttingProxy,
    follow: Follow,
) -> None:
    """The connection stalls, and new ones are refused for a while."""
    numbers(engine, container)
    app = service.add_app(container, container)
    options = {"url": proxy.url, "headers": {"Cookie": admin}, "appId": app, "quietAfter": 300}
    follower = follow("logs", **options)
    follower.wait_lines(300)
    proxy.refuse(True)
    proxy.stall()
    assert follower.wait_state("reconnecting")["reason"]["code"] == "silent"
    tried = proxy.accepted
    follower.wait_for(lambda: proxy.accepted > tried + 1, "attempts")
    proxy.refuse(False)
    follower.wait_state("live")
    assert_complete(follower)


def test_lines_with_one_time_stamp(
    service: Service,
    engine: PrivateEngine,
    container: str,
    admin: str,
    proxy: CuttingProxy,
    follow: Follow,
) -> None:
    """Cut off behind the first of some lines with the same time: the others follow, once."""
    engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    follower = follow("logs", url=proxy.url, headers={"Cookie": admin}, appId=app)
    follower.wait_lines(1)
    log = Path(engine.client.inspect_container(container)["LogPath"])
    time = follower.times[0][:-4] + "999Z"

    def write(*lines: tuple[str, str]) -> None:
        """Put lines into the engine's own file: by itself it never stamps two alike."""
        with log.open("a") as file:
            for stream, text in lines:
                entry = {"log": f"{text}\n", "stream": stream, "time": time}
                file.write(json.dumps(entry, separators=(",", ":")) + "\n")

    write(("stdout", "a"))
    follower.wait_lines(2)
    proxy.refuse(True)
    proxy.reset()
    follower.wait_state("reconnecting")
    write(("stdout", "a"), ("stderr", "a"), ("stdout", "b"), ("stdout", "a"))
    proxy.refuse(False)
    follower.wait_lines(6)
    write(("stdout", "b"))
    assert follower.wait_lines(7) == ["begun", "a", "a", "a", "b", "a", "b"]
    assert follower.missing == [(0, True)]
    assert follower.end() == 0


def test_what_the_service_does_not_remember_is_told(
    engine: PrivateEngine, make_service: MakeService, container: str, follow: Follow
) -> None:
    """More lines than ``replay.lines`` while there is no connection: exactly the rest is missing."""
    service = make_service(engine, {"replay.lines": 100})
    proxy = CuttingProxy(service.port)
    try:
        numbers(engine, container, 1_500)
        app = service.add_app(container, container)
        options = {"url": proxy.url, "headers": {"Cookie": service.login()}, "appId": app}
        follower = follow("logs", **options)
        # Another client keeps the collector, and shows when enough is written.
        other = WebsocketsClient(service.ws_url("container/logs", appId=app), service.login())
        follower.wait_lines(100)
        proxy.refuse(True)
        proxy.reset()
        other.wait_lines(len(other.lines) + 500)
        proxy.refuse(False)
        follower.wait_for(lambda: "1499" in follower.lines[-1:], "the last line")
        other.close()
    finally:
        proxy.close()
    [gap] = [
        int(b) - int(a) - 1 for a, b in itertools.pairwise(follower.lines) if int(b) != int(a) + 1
    ]
    assert follower.missing == [(gap, True)]
    [skipped] = follower.of("skipped")
    assert (skipped["lines"], skipped["exact"], skipped["reason"]) == (gap, True, "forgotten")


# ------------------------------------------------------ restarts of processes


def kill_process(service: Service, process: str) -> None:
    """SIGKILL, and wait until the supervisor has started another one."""
    old = int(service.running(process)[0]["pid"])
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: [r for r in service.running(process) if r["pid"] != old], f"a new {process}")


def kill_web_worker(service: Service, _process: str) -> None:
    """SIGKILL to a process of gunicorn's; the master starts another one."""
    [worker] = psutil.Process(int(service.running("gunicorn")[0]["pid"])).children()
    worker.kill()


def reload(service: Service, _process: str) -> None:
    """What ``systemctl reload`` does."""
    os.kill(service.pid, signal.SIGHUP)


def restart(service: Service, _process: str) -> None:
    """Stop and start everything."""
    assert service.stop() == 0
    service.start()


def kill_supervisor(service: Service, _process: str) -> None:
    """SIGKILL to the supervisor, which takes everything with it; then start again."""
    service.kill()
    wait_until(lambda: not service.processes(), "every process to end")
    service.start()


@pytest.mark.parametrize(
    ("disturb", "process"),
    [
        pytest.param(kill_process, "container/", id="collector"),
        pytest.param(kill_process, "broker", id="broker"),
        pytest.param(kill_process, "gunicorn", id="gunicorn"),
        pytest.param(kill_web_worker, "", id="web-worker"),
        pytest.param(reload, "", id="reload"),
        pytest.param(restart, "", id="restart"),
        pytest.param(kill_supervisor, "", id="supervisor"),
    ],
)
def test_restarts_lose_and_repeat_nothing(
    engine: PrivateEngine,
    make_service: MakeService,
    container: str,
    follow: Follow,
    disturb: Callable[[Service, str], None],
    process: str,
) -> None:
    """300 lines a second, and each process killed twice, or all of them restarted."""
    # By default the service remembers what is written in three seconds at this speed.
    service = make_service(engine, {"replay.lines": 10_000})
    numbers(engine, container)
    app = service.add_app(container, container)
    options = {"url": service.url, "headers": {"Cookie": service.login()}, "appId": app}
    follower = follow("logs", **options)
    for count in (300, 1500):
        follower.wait_lines(count)
        disturb(service, process)
    assert_complete(follower)


def test_reload_is_a_restart_and_not_a_loss(
    engine: PrivateEngine, make_service: MakeService, container: str, follow: Follow
) -> None:
    """Close code 1012: back at once."""
    service = make_service(engine)
    engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    options = {"url": service.url, "headers": {"Cookie": service.login()}, "appId": app}
    follower = follow("logs", **options)
    follower.wait_lines(1)
    os.kill(service.pid, signal.SIGHUP)
    follower.wait_for(lambda: follower.missing, "reconnected")
    states = follower.of("state")
    assert (states[1]["reason"]["code"], states[1]["reason"]["closeCode"]) == ("restarting", 1012)
    assert states[1]["retryIn"] <= 500
    assert follower.missing == [(0, True)]
    assert follower.lines == ["begun"]
    assert follower.end() == 0


# ------------------------------------------------- the container, and refusals


def test_container_restarts_is_recreated_and_stops(
    service: Service, engine: PrivateEngine, container: str, admin: str, follow: Follow
) -> None:
    """One stream throughout, ``ended`` with the container, and resumed without repetition."""
    engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    follower = follow("logs", url=service.url, headers={"Cookie": admin}, appId=app)
    follower.wait_lines(1)
    engine.client.restart(container)
    follower.wait_lines(2)
    engine.remove(container)
    engine.run(container, "echo new; sleep 600")
    follower.wait_lines(3)
    engine.client.stop(container)
    ended = follower.wait_state("ended")
    assert ended["reason"]["code"] == "ended"
    assert follower.of("status")[-1]["data"]["state"] == "exited"
    assert len(follower.of("end")) == 1
    follower.tell("reconnect")
    assert follower.wait_state("failed")["reason"]["code"] == "not-running"
    engine.client.start(container)
    follower.tell("reconnect")
    assert follower.wait_lines(4) == ["begun", "begun", "new", "new"]
    assert follower.state == "live"
    assert follower.end() == 0


@pytest.mark.parametrize(
    ("app", "email", "code", "words"),
    [
        (999_999, "admin@localhost", "not-found", "Application not found"),
        (999_999, "nobody@localhost", "forbidden", "Permission denied"),
        (0, "admin@localhost", "thrown", "appId must be a positive integer, not 0"),
    ],
)
def test_refused_streams_fail_with_the_reason(
    engine: PrivateEngine,
    service: Service,
    follow: Follow,
    app: int,
    email: str,
    code: str,
    words: str,
) -> None:
    """Wrong application, no right, and what is not an id."""
    if email != "admin@localhost":
        service.add_user(email, "a long password")
        cookie = service.login(email, "a long password")
    else:
        cookie = service.login()
    follower = follow("logs", url=service.url, headers={"Cookie": cookie}, appId=app)
    if code == "thrown":
        follower.wait_for(lambda: follower.of("thrown"), "the error")
        assert words in follower.of("thrown")[0]["message"]
        return
    reason = follower.wait_state("failed")["reason"]
    assert (reason["code"], reason["message"]) == (code, words)


def test_without_a_session_it_fails_and_does_not_try_again(
    service: Service, follow: Follow
) -> None:
    """The handshake is refused with 401, which a WebSocket does not tell."""
    follower = follow("metrics", url=service.url, headers={"Cookie": "mist_token=no"})
    assert follower.wait_state("failed")["reason"]["code"] == "unauthorized"


def test_expired_session_and_back(
    engine: PrivateEngine, make_service: MakeService, container: str, follow: Follow
) -> None:
    """Signing out ends the stream with 4401, and not with a new attempt."""
    service = make_service(engine, {"auth.check_seconds": 1})
    engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    cookie = service.login()
    follower = follow("logs", url=service.url, headers={"Cookie": cookie}, appId=app)
    follower.wait_lines(1)
    requests.post(f"{service.url}/api/auth/logout", headers={"Cookie": cookie}, timeout=10)
    reason = follower.wait_state("failed")["reason"]
    assert (reason["code"], reason["closeCode"]) == ("unauthorized", 4401)
    assert reason["message"] == "Session expired"


def test_engine_that_is_away_is_waited_for(
    own_engine: PrivateEngine, make_service: MakeService, container: str, follow: Follow
) -> None:
    """Close code 1013 with the service's words, then live by itself."""
    service = make_service(own_engine)
    own_engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    own_engine.stop()
    options = {"url": service.url, "headers": {"Cookie": service.login()}, "appId": app}
    follower = follow("logs", **options)
    follower.wait_for(lambda: follower.of("error"), "an error")
    reason = follower.wait_state("connecting")["reason"]
    assert (reason["code"], reason["message"]) == ("unavailable", "Docker Engine is unreachable")
    own_engine.start()
    assert follower.wait_lines(1) == ["begun"]
    assert follower.state == "live"


# ----------------------------------------------------------- the other streams


def test_metrics_through_cuts(
    service: Service, admin: str, proxy: CuttingProxy, follow: Follow
) -> None:
    """A sample for every second, also for those without a connection."""
    follower = follow("metrics", url=proxy.url, headers={"Cookie": admin}, history=2)
    for count in (4, 7):
        follower.wait_for(lambda n=count: len(follower.samples) >= n, f"{count} samples")  # type: ignore[misc]
        proxy.reset()
        follower.wait_state("reconnecting")
        follower.wait_state("live")
    follower.wait_for(lambda: len(follower.samples) >= 10, "10 samples")
    times = [sample["timestamp"] for sample in follower.samples]
    assert times == sorted(set(times))
    seconds = [int(time[17:19]) for time in times]
    assert {(b - a) % 60 for a, b in itertools.pairwise(seconds)} <= {1, 2}
    assert follower.missing == [(0, False), (0, False)]
    assert follower.end() == 0


def test_several_logs_merged_by_engine_time(
    service: Service,
    engine: PrivateEngine,
    container: str,
    admin: str,
    proxy: CuttingProxy,
    follow: Follow,
) -> None:
    """Two containers that write at once: all lines of both, in the order of their times."""
    names = [f"{container}-{letter}" for letter in "ab"]
    apps = {}
    try:
        for name in names:
            numbers(engine, name, 1_000)
            apps[name[-1]] = service.add_app(name, name)
        options = {"url": proxy.url, "headers": {"Cookie": admin}, "tail": 1000}
        follower = follow("merged", apps=apps, **options)
        follower.wait_lines(2_000)
    finally:
        for name in names:
            engine.remove(name)
    for source in "ab":
        own = [
            line for line, of in zip(follower.lines, follower.sources, strict=True) if of == source
        ]
        assert own == [str(number) for number in range(1_000)]
    assert follower.times == sorted(follower.times)


def test_many_lines_come_in_few_events(
    service: Service, engine: PrivateEngine, container: str, admin: str, follow: Follow
) -> None:
    """A flood: every line, and far fewer events than lines."""
    engine.run(container, "sleep 1; seq 0 59999; sleep 600")
    app = service.add_app(container, container)
    follower = follow("logs", url=service.url, headers={"Cookie": admin}, appId=app)
    follower.wait_for(lambda: "59999" in follower.lines[-1:], "the last line", 60)
    told = sum(event["lines"] for event in follower.of("skipped"))
    assert len(follower.lines) + told == 60_000
    assert len(follower.of("lines")) < len(follower.lines) / 20
    assert follower.end() == 0


# ------------------------------------------------------------------- the end


@pytest.mark.parametrize("when", ["live", "stalled", "reconnecting"])
def test_abort_leaves_nothing_that_keeps_the_program(
    service: Service, admin: str, follow: Follow, when: str
) -> None:
    """Whatever the network does, Node ends by itself."""
    proxy = CuttingProxy(service.port)
    try:
        follower = follow("metrics", url=proxy.url, headers={"Cookie": admin})
        follower.wait_state("live")
        if when != "live":
            proxy.refuse(True)
        if when == "stalled":
            proxy.stall()
        elif when == "reconnecting":
            proxy.reset()
            follower.wait_state("reconnecting")
        assert follower.end(5) == 0
        assert follower.state == "ended"
    finally:
        proxy.close()
