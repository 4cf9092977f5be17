"""What ``/metrics`` shows to Prometheus: the whole web tier, whoever answers, and the service.

With several workers, prometheus-client keeps each worker's values in files that every
worker can add up (its multiprocess mode).  It decides so when it is imported, by the
variable ``PROMETHEUS_MULTIPROC_DIR``, which ``api/server/serve.py`` sets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from mist import health
from mist.errors import StoreError
from mist.paths import Paths
from mist.store import Store

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder of the workers' values."""


class Monitoring:
    """The values of one worker, and the text about all of them."""

    def __init__(self, paths: Paths, store: Store) -> None:
        # Not the global registry: two applications in one process, as in tests, would clash.
        self._registry = CollectorRegistry()
        self._service = ServiceCollector(paths, store)
        self._registry.register(self._service)
        self.answers = Counter(
            "mist_http_answers",
            "HTTP answers, without the WebSocket routes.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self.clients = self._gauge("mist_live_clients", "Open WebSockets.")
        self.topics = self._gauge(
            "mist_live_topics", "Topics to which the workers are subscribed, one by one."
        )

    def text(self) -> bytes:
        """Return the present values in Prometheus' text format."""
        registry = self._registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            registry.register(self._service)
        return generate_latest(registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self._registry, multiprocess_mode="livesum")


class ServiceCollector(Collector):
    """What the supervisor's report and the store say about the whole service."""

    def __init__(self, paths: Paths, store: Store) -> None:
        self._paths = paths
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Yield the present values; without a report or a store, fewer of them."""
        report = health.read(self._paths)
        age = GaugeMetricFamily(
            "mist_supervisor_report_age_seconds",
            "How long ago the supervisor reported; it does so once a second.",
        )
        processes = GaugeMetricFamily(
            "mist_processes", "Processes of the service.", labels=["kind", "state"]
        )
        restarts = GaugeMetricFamily(
            "mist_process_restarts",
            "Restarts of the processes that `mist status` shows.",
            labels=["kind"],
        )
        if report is not None:
            age.add_metric([], time.monotonic() - report.beat)
            for kind, states in report.processes.items():
                for state, count in states.items():
                    processes.add_metric([kind, state], count)
            for kind, count in report.restarts.items():
                restarts.add_metric([kind], count)
            yield from (age, processes, restarts)
        deployments = GaugeMetricFamily(
            "mist_deployments", "Deployments in the store.", labels=["status"]
        )
        try:
            for status, count in self._store.deployments.counts().items():
                deployments.add_metric([status], count)
        except StoreError:
            return  # /readyz tells
        yield deployments
