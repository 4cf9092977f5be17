"""``mist-client`` against the real service, through restarts of its processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

import pytest
from mist_client import (
    AsyncClient,
    Client,
    End,
    LogLine,
    MistError,
    Reconnected,
    Reconnecting,
    Skipped,
)

from tests.integration.conftest import MakeService
from tests.integration.test_container_stream import numbered
from tests.integration.test_restarts import end
from tests.integration.typescript.test_client_restarts import kill_web_worker, reload
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

#: About 300 lines a second for eight seconds, and then the container ends.
LINES: Final = 2_400
WRITER: Final = numbered(LINES, pause_every=6).removesuffix("sleep 600") + "sleep 1"


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

    def wait_lines(self, count: int) -> None:
        """Wait for at least ``count`` lines."""
        wait_until(lambda: len(self.lines) >= count or self.error, f"{count} lines", 90)
        assert self.error is None

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


def test_restarts_lose_and_repeat_nothing(
    engine: PrivateEngine, make_service: MakeService, container: str
) -> None:
    """Both clients get each line once and in order, whatever is killed, and then end."""
    service = make_service(engine, {"replay.lines": 10_000})
    app = service.add_app(container, container)
    token = new_token(service, "--app", container, "--right", "viewer")
    engine.run(container, WRITER)
    watchers = [Watcher(watch(service.url, token, app)) for watch in (watch_sync, watch_async)]
    disturbances: dict[int, Callable[[], None]] = {
        200: lambda: kill_web_worker(service, ""),
        600: lambda: end(service, "container/"),
        1_000: lambda: end(service, "gunicorn"),
        1_400: lambda: end(service, "broker"),
        1_800: lambda: reload(service, ""),
    }
    for count, disturb in disturbances.items():
        for one in watchers:
            one.wait_lines(count)
        disturb()
    for one in watchers:
        one.join()
        assert one.error is None
        first = int(one.lines[0])
        assert one.lines == [str(number) for number in range(first, LINES)]
        assert isinstance(one.events[-1], End)
        assert not one.of(Skipped)
        assert len(one.of(Reconnecting)) >= 3
        assert {(each.missing, each.exact) for each in one.of(Reconnected)} == {(0, True)}
