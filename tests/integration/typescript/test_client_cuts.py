"""``@mist/client`` through networks that cut, stall, refuse and slow its connections."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.integration.conftest import MakeService
from tests.integration.test_container_stream import numbered
from tests.integration.typescript.follower import (
    LINES,
    Follow,
    assert_complete,
    run_later,
    run_numbers,
)
from tests.support.service.clients import WebsocketsClient
from tests.support.service.engine import PrivateEngine
from tests.support.service.proxy import CuttingProxy
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine


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
    """A TCP connection that ends in any way costs no line and repeats none."""
    begin = run_numbers(engine, container)
    app = service.add_app(container, container)
    follower = follow("logs", url=proxy.url, headers={"Cookie": admin}, appId=app)
    follower.wait_state("live")
    begin()
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
    """A connection that falls silent without ending is replaced."""
    begin = run_numbers(engine, container)
    app = service.add_app(container, container)
    options = {"url": proxy.url, "headers": {"Cookie": admin}, "appId": app, "quietAfter": 600}
    follower = follow("logs", **options)
    follower.wait_state("live")
    begin()
    for count in (300, 1200, 2100):
        follower.wait_lines(count)
        before = len(follower.lines)
        proxy.stall()
        follower.wait_lines(before + 600)
    assert_complete(follower)
    assert follower.state == "ended"
    assert "reconnecting" not in {event["state"] for event in follower.of("state")}


@pytest.mark.parametrize("network", ["refuse", "swallow"])
def test_dead_network_is_noticed_and_survived(
    engine: PrivateEngine, make_service: MakeService, container: str, follow: Follow, network: str
) -> None:
    """The client survives a stalled connection while new ones are reset or never answered."""
    # Noticing that nothing is answered takes as long as a handshake may take.
    service = make_service(engine, {"replay.lines": 20_000})
    proxy = CuttingProxy(service.port)
    try:
        begin = run_numbers(engine, container)
        app = service.add_app(container, container)
        options = {"url": proxy.url, "headers": {"Cookie": service.login()}, "quietAfter": 300}
        follower = follow("logs", appId=app, **options)
        follower.wait_state("live")
        begin()
        follower.wait_lines(300)
        getattr(proxy, network)(True)
        proxy.stall()
        assert follower.wait_state("reconnecting")["reason"]["code"] == "silent"
        tried = proxy.accepted
        follower.wait_for(lambda: proxy.accepted > tried, "an attempt")
        getattr(proxy, network)(False)
        follower.wait_state("live", 60)
        assert_complete(follower)
    finally:
        proxy.close()


@pytest.mark.parametrize("tail", [0, 100])
def test_quiet_log_that_is_cut_before_its_first_line(
    service: Service,
    engine: PrivateEngine,
    container: str,
    admin: str,
    proxy: CuttingProxy,
    follow: Follow,
    tail: int,
) -> None:
    """Lines written while an idle connection is cut come once."""
    engine.run(container, "sleep 600")
    app = service.add_app(f"{container}-{tail}", container)
    options = {"url": proxy.url, "headers": {"Cookie": admin}, "appId": app, "tail": tail}
    follower = follow("logs", **options)
    follower.wait_for(lambda: follower.of("status"), "the status")
    # After this time a log without a line counts as empty.
    follower.wait_quiet(1.5)
    proxy.refuse(True)
    proxy.hang_up()
    follower.wait_state("reconnecting")
    engine.say(container, "echo a; echo b; echo a")
    proxy.refuse(False)
    assert follower.wait_lines(3) == ["a", "b", "a"]
    engine.say(container, "echo c")
    assert follower.wait_lines(4) == ["a", "b", "a", "c"]
    assert [lines for lines, _ in follower.missing] == [0]
    assert follower.end() == 0


def test_lines_with_one_time_stamp(
    service: Service,
    engine: PrivateEngine,
    container: str,
    admin: str,
    proxy: CuttingProxy,
    follow: Follow,
) -> None:
    """After a cut between lines with one timestamp, the others follow once, even earlier ones."""
    engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    follower = follow("logs", url=proxy.url, headers={"Cookie": admin}, appId=app)
    follower.wait_lines(1)
    log = Path(engine.client.inspect_container(container)["LogPath"])
    time = follower.times[0][:-4] + "999Z"

    def write(*lines: tuple[str, str], time: str = time) -> None:
        """Write lines into the engine's own file; the engine never gives two the same time."""
        with log.open("a") as file:
            for stream, text in lines:
                entry = {"log": f"{text}\n", "stream": stream, "time": time}
                file.write(json.dumps(entry, separators=(",", ":")) + "\n")

    write(("stdout", "a"))
    follower.wait_lines(2)
    proxy.refuse(True)
    proxy.reset()
    follower.wait_state("reconnecting")
    write(("stdout", "b"), ("stderr", "a"), ("stderr", "b"), ("stdout", "c"))
    write(("stderr", "earlier"), time=follower.times[0])
    proxy.refuse(False)
    follower.wait_lines(7)
    write(("stdout", "d"))
    assert follower.wait_lines(8) == ["begun", "a", "b", "a", "b", "c", "earlier", "d"]
    assert follower.missing == [(0, True)]
    assert follower.end() == 0


def test_what_the_service_does_not_remember_is_told(
    engine: PrivateEngine, make_service: MakeService, container: str, follow: Follow
) -> None:
    """After more than ``replay.lines`` without a connection, the excess is reported as missing."""
    service = make_service(engine, {"replay.lines": 100})
    proxy = CuttingProxy(service.port)
    try:
        begin = run_numbers(engine, container, 1_500)
        app = service.add_app(container, container)
        options = {"url": proxy.url, "headers": {"Cookie": service.login()}, "appId": app}
        follower = follow("logs", **options)
        # Another client keeps the collector running and shows when enough has been written.
        other = WebsocketsClient(service.ws_url("container/logs", appId=app), service.login())
        follower.wait_state("live")
        other.wait_for(len)
        begin()
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


def test_slow_connection_is_told_what_it_missed(
    engine: PrivateEngine, make_service: MakeService, container: str, follow: Follow
) -> None:
    """The service's own gaps are reported in place, with the exact number of lines."""
    service = make_service(engine, {"streams.ring_lines": 2_000})
    proxy = CuttingProxy(service.port)
    try:
        script = numbered(40_000).replace("echo $i", f"echo $i {'x' * 1000}")
        go = run_later(engine, container, script)
        app = service.add_app(container, container)
        options = {"url": proxy.url, "headers": {"Cookie": service.login()}, "appId": app}
        follower = follow("logs", **options)
        follower.wait_state("live")
        proxy.stall()
        go()
        log = Path(engine.client.inspect_container(container)["LogPath"])
        wait_until(lambda: log.stat().st_size > 40_000_000, "the container to write", 20)
        proxy.flow()
        follower.wait_for(lambda: "".join(follower.lines[-1:]).startswith("39999 "), "the end", 60)
        assert follower.state == "live"
    finally:
        proxy.close()
    expected = 0
    for event in follower.events:
        if event["type"] == "skipped":
            assert (event["exact"], event["reason"]) == (True, "slow")
            expected += event["lines"]
        for each in event["lines"] if event["type"] == "lines" else ():
            assert int(each["line"].split()[0]) == expected
            expected += 1
    assert expected == 40_000
    assert follower.of("skipped")
