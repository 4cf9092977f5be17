"""The whole service on a private engine: ``mist up``, applications, a session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from bench import procs
from bench.context import Bench
from bench.load.handshake import Address
from mist.settings import load_settings
from mist.store import open_store
from tests.support.service.service import Service
from tests.support.wait import wait_until

#: For turns that begin without a collector: it is not waited for.
SHORT_LINGER: Final[Mapping[str, object]] = {"collector.linger_seconds": 0.1}


class Whole:
    """A running service and how to reach it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._cookie = service.login().removeprefix("mist_token=")

    def add(self, container: str) -> int:
        """An application for a container of that name; its id."""
        store = open_store(load_settings(self.service.environment), self.service.paths)
        try:
            return store.apps.add(container, container=container).id
        finally:
            store.close()

    def logs(self, app_id: int, query: str = "") -> Address:
        """Where the log of an application is."""
        path = f"/ws/container/logs?appId={app_id}{query}"
        return Address("127.0.0.1", self.service.port, path, self._cookie)

    @property
    def pids(self) -> list[int]:
        """Every process of the service."""
        return [process.pid for process in self.service.processes()]

    @property
    def cpu(self) -> float:
        """CPU seconds that they have used so far."""
        return procs.cpu_seconds(self.pids)

    def gunicorn(self) -> list[int]:
        """The master and the workers of the web tier."""
        return [
            process.pid
            for process in self.service.processes()
            if "gunicorn" in " ".join(process.cmdline())
        ]

    def collectors(self) -> list[int]:
        """The collectors of container logs."""
        return [int(row["pid"]) for row in self.service.running("container/")]

    def without_collector(self) -> None:
        """Wait until no collector of a container's log is left."""
        wait_until(lambda: not self.collectors(), "the collectors to end")


@contextmanager
def running(
    bench: Bench, overrides: Mapping[str, object] | None = None, workers: int = 1
) -> Iterator[Whole]:
    """``mist up`` on the bench's engine, ended afterwards."""
    service = Service(bench.engine.host, overrides, workers)
    try:
        service.start()
        yield Whole(service)
    finally:
        service.destroy()
