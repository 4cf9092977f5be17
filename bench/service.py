"""The complete service on a private engine: ``mist up``, applications and a session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from bench import processes
from bench.context import Bench
from bench.load.handshake import Address
from mist.settings import load_settings
from mist.store import open_store
from tests.support.service.service import Service
from tests.support.wait import wait_until

# For rounds that start without a collector, which would otherwise linger for 5 s.
SHORT_LINGER: Final[Mapping[str, object]] = {"collector.linger_seconds": 0.1}


class WholeService:
    """A running service and the addresses of its streams."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._cookie = service.login().removeprefix("mist_token=")

    def add(self, container: str) -> int:
        """Add an application for the container with this name; return its id."""
        # Directly in the store, which is faster than an HTTP request per application.
        store = open_store(load_settings(self.service.environment), self.service.paths)
        try:
            return store.apps.add(container, container=container).id
        finally:
            store.close()

    def logs(self, app_id: int, query: str = "") -> Address:
        """Return the address of an application's log."""
        return self.address(f"/ws/container/logs?appId={app_id}{query}")

    def address(self, path: str) -> Address:
        """Return the address of any path."""
        return Address("127.0.0.1", self.service.port, path, self._cookie)

    @property
    def pids(self) -> list[int]:
        """The pids of all processes of the service."""
        return [process.pid for process in self.service.processes()]

    @property
    def cpu(self) -> float:
        """The CPU seconds that they have used so far."""
        return processes.cpu_seconds(self.pids)

    def gunicorn(self) -> list[int]:
        """Return the pids of the web tier's master and workers."""
        return [
            process.pid
            for process in self.service.processes()
            if "gunicorn" in " ".join(process.cmdline())
        ]

    def collectors(self) -> list[int]:
        """Return the pids of the log collectors."""
        return [int(row["pid"]) for row in self.service.running("container/")]

    def readers(self) -> list[int]:
        """Return the pids of the readers of older lines."""
        processes = self.service.processes()
        return [each.pid for each in processes if each.name().startswith("mist reader")]

    def without_collector(self) -> None:
        """Wait until no log collector is running."""
        wait_until(lambda: not self.collectors(), "the collectors to end")


@contextmanager
def run_service(
    bench: Bench, overrides: Mapping[str, object] | None = None, workers: int = 1
) -> Iterator[WholeService]:
    """Run ``mist up`` on the engine of the bench, and stop it afterwards."""
    service = Service(bench.engine.host, overrides, workers)
    try:
        service.start()
        yield WholeService(service)
    finally:
        service.destroy()
