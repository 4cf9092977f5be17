"""``mist-client`` against the real service, through restarts of its processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from mist_client import (
    AsyncClient,
    Client,
    End,
    LogLine,
    MistError,
    Reason,
    Reconnected,
    Reconnecting,
    Skipped,
    StreamError,
    async_streams,
    streams,
)

from tests.integration.test_restarts import end
from tests.integration.typescript.test_client_restarts import reload, restart
from tests.support.service.engine import PrivateEngine
from tests.support.service.proxy import CuttingProxy
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

#: Writes numbers, about 300 a second, until it is told to end.
WRITER: Final = (
    "i=0; while [ ! -e /go ]; do echo $i; [ $((i % 6)) = 0 ] && sleep 0.02; i=$((i+1)); done"
)


def new_token(service: Service, *arguments: str) -> str:
    """Return a new token of the admin."""
    return service.mist("token", "add", "python", *arguments).stdout.strip()


class Watcher:
    """A program in a thread of its own that collects the events of a stream."""

    def __init__(self, watch: Callable[[list[Any]], None]) -> None:
        self.events: list[Any] = []
        self.error: MistError | None = None
        self._thread = threading.Thread(target=self._run, args=(watch,), daemon=True)
        self._thread.start()

    def _run(self, watch: Callable[[list[Any]], None]) -> None:
        try:
            watch(self.events)
        except MistError as error:
            self.error = error

    @property
    def lines(self) -> list[str]:
        """Return the texts of the lines so far."""
        return [event.line for event in list(self.events) if isinstance(event, LogLine)]

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of a type."""
        return [event for event in list(self.events) if isinstance(event, kind)]

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds, or the program has failed."""
        wait_until(lambda: condition() or self.error, what, 90)
        assert self.error is None

    def wait_more(self, count: int) -> None:
        """Wait for so many more lines."""
        enough = len(self.lines) + count
        self.wait_for(lambda: len(self.lines) >= enough, f"{count} more lines")

    def join(self) -> None:
        """Wait until the iteration has ended by itself."""
        self._thread.join(90)
        assert not self._thread.is_alive(), self.events[-5:]


def watch_sync(url: str, token: str, app: int) -> Callable[[list[Any]], None]:
    """Return a synchronous program that follows a log."""

    def watch(events: list[Any]) -> None:
        with Client(url, token=token) as client:
            events.extend(client.logs(app))

    return watch


def watch_async(url: str, token: str, app: int) -> Callable[[list[Any]], None]:
    """Return a program on asyncio that follows a log."""

    async def follow(events: list[Any]) -> None:
        async with AsyncClient(url, token=token) as client, client.logs(app) as logs:
            async for event in logs:
                events.append(event)

    return lambda events: asyncio.run(follow(events))


@pytest.fixture(scope="module")
def own(engine: PrivateEngine) -> Iterator[Service]:
    """A service that remembers much, and looks at its sessions often."""
    made = Service(engine.host, {"replay.lines": 10_000, "auth.check_seconds": 1})
    try:
        made.start()
        yield made
    finally:
        made.destroy()


def test_restarts_lose_and_repeat_nothing(
    engine: PrivateEngine, own: Service, container: str
) -> None:
    """Both clients get each line once and in order, whatever is killed, and then end."""
    app = own.add_app(container, container)
    token = new_token(own, "--app", container, "--right", "viewer")
    engine.run(container, WRITER)
    watchers = [Watcher(watch(own.url, token, app)) for watch in (watch_sync, watch_async)]
    disturbances: list[Callable[[], None]] = [
        lambda: end(own, "gunicorn"),
        lambda: end(own, "container/"),
        lambda: end(own, "broker"),
        lambda: reload(own, ""),
        lambda: restart(own, ""),
    ]
    for disturb in disturbances:
        for one in watchers:
            one.wait_more(60)
        disturb()
    for one in watchers:
        one.wait_more(60)
    engine.say(container, ": >/go")
    for one in watchers:
        assert_complete(one, engine.lines(container))
        assert one.of(Reconnecting)


@pytest.fixture
def proxy(service: Service) -> Iterator[CuttingProxy]:
    """A proxy in front of the shared service."""
    proxy = CuttingProxy(service.port)
    yield proxy
    proxy.close()


def test_cut_connections_lose_and_repeat_nothing(
    engine: PrivateEngine,
    service: Service,
    container: str,
    proxy: CuttingProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However a connection ends, and also if it only falls silent."""
    for module in (streams, async_streams):
        monkeypatch.setattr(module, "PING_SECONDS", 0.5)
    app = service.add_app(container, container)
    token = new_token(service)
    engine.run(container, WRITER)
    watchers = [Watcher(watch(proxy.url, token, app)) for watch in (watch_sync, watch_async)]
    for number, verb in enumerate(("reset", "hang_up", "half_close", "stall"), 1):
        for one in watchers:
            one.wait_more(60)
        getattr(proxy, verb)()
        for one in watchers:
            one.wait_for(lambda: len(one.of(Reconnected)) >= number, f"after {verb}")  # noqa: B023
    engine.say(container, ": >/go")
    for one in watchers:
        assert_complete(one, engine.lines(container))


def test_what_the_service_does_not_remember_is_told(
    engine: PrivateEngine, service: Service, container: str, proxy: CuttingProxy
) -> None:
    """With the exact number of lines, at their place among the others."""
    app = service.add_app(container, container)
    token = new_token(service)
    wait = "while [ ! -e /{0} ]; do sleep 0.05; done; "
    engine.run(container, f"echo 0; {wait.format('more')} seq 1 3000; {wait.format('go')}")
    watchers = [Watcher(watch(proxy.url, token, app)) for watch in (watch_sync, watch_async)]
    # It keeps the collector running, and shows when enough has been written.
    other = Watcher(watch_sync(service.url, token, app))
    for one in (*watchers, other):
        one.wait_for(lambda: one.lines, "the first line")  # noqa: B023
    proxy.refuse(True)
    proxy.reset()
    engine.say(container, ": >/more")
    other.wait_for(lambda: other.lines[-1] == "3000", "the last line")
    proxy.refuse(False)
    for one in watchers:
        one.wait_for(lambda: one.of(Reconnected), "the connection")  # noqa: B023
    engine.say(container, ": >/go")
    for one in (*watchers, other):
        one.join()
    for one in watchers:
        [at] = [
            at
            for at, event in enumerate(one.events)
            if isinstance(event, Skipped) and event.reason == "forgotten"
        ]
        skipped = one.events[at]
        last = next(e for e in reversed(one.events[:at]) if isinstance(e, LogLine))
        following = next(e for e in one.events[at:] if isinstance(e, LogLine))
        assert skipped.lines == int(following.line) - int(last.line) - 1 > 0
        assert skipped.exact
        assert [each.missing for each in one.of(Reconnected)] == [skipped.lines]


def test_a_container_that_stopped_meanwhile_gives_its_last_lines(
    engine: PrivateEngine, service: Service, container: str, proxy: CuttingProxy
) -> None:
    """They come before the error that says that it does not run."""
    app = service.add_app(container, container)
    token = new_token(service)
    engine.run(container, "echo begun; while [ ! -e /go ]; do sleep 0.05; done; seq 1 5")
    watchers = [Watcher(watch(proxy.url, token, app)) for watch in (watch_sync, watch_async)]
    other = Watcher(watch_sync(service.url, token, app))
    for one in (*watchers, other):
        one.wait_for(lambda: one.lines, "the first line")  # noqa: B023
    proxy.refuse(True)
    proxy.reset()
    for one in watchers:
        one.wait_for(lambda: one.of(Reconnecting), "the loss")  # noqa: B023
    engine.say(container, ": >/go")
    other.join()
    assert isinstance(other.events[-1], End)
    proxy.refuse(False)
    for one in watchers:
        one.join()
        assert one.lines == ["begun", "1", "2", "3", "4", "5"]
        assert [(each.missing, each.exact) for each in one.of(Reconnected)] == [(0, True)]
        assert isinstance(one.error, StreamError)
        assert one.error.reason.code == "not-running"


def test_a_revoked_token_ends_its_streams(
    engine: PrivateEngine, own: Service, container: str
) -> None:
    """They raise an error, and do not try again."""
    app = own.add_app(container, container)
    engine.run(container, "echo begun; sleep 600")
    tokens = [new_token(own) for _ in range(2)]
    watchers = [
        Watcher(watch(own.url, token, app))
        for watch, token in zip((watch_sync, watch_async), tokens, strict=True)
    ]
    for one in watchers:
        one.wait_for(lambda: one.lines, "a line")  # noqa: B023
    with Client(own.url, token=new_token(own)) as client:
        *older, ours = client.list_tokens()
        for token in older[-2:]:
            client.revoke_token(token.id)
        assert client.get_me().email == ours.user
    for one in watchers:
        one.join()
        assert isinstance(one.error, StreamError)
        assert one.error.reason == Reason("unauthorized", "Session expired", 4401)


def assert_complete(watcher: Watcher, expected: list[str]) -> None:
    """Check that each line came once and in order, and that the stream then ended."""
    watcher.join()
    assert watcher.error is None
    assert watcher.lines == expected[int(watcher.lines[0]) :]
    assert isinstance(watcher.events[-1], End)
    assert not watcher.of(Skipped)
    assert {(each.missing, each.exact) for each in watcher.of(Reconnected)} == {(0, True)}
