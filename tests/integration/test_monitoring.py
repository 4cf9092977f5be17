"""``/metrics`` of a service with several web workers, as Prometheus reads it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.conftest import MakeService
from tests.support.service.clients import Client
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

OpenClient = Callable[..., Client]


def scrape(service: Service) -> dict[tuple[str, ...], float]:
    """Return the samples by name and label values."""
    text = requests.get(f"{service.url}/metrics", timeout=10).text
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), names
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def answers(service: Service) -> float:
    """Return how often ``/metrics`` has been answered."""
    return scrape(service)["mist_http_answers_total", "GET", "/metrics", "200"]


def test_every_worker_tells_about_all_of_them(
    engine: PrivateEngine, make_service: MakeService, open_client: OpenClient
) -> None:
    """The load is the sum over the workers, and a killed worker no longer counts."""
    service = make_service(engine, workers=2)
    cookie = service.login()
    url = service.ws_url("metrics")
    for _ in range(6):
        open_client(url, cookie).wait_open()
    wait_until(lambda: scrape(service)["mist_live_clients",] == 6, "all clients")
    figures = scrape(service)
    assert figures["mist_live_topics",] in {1, 2}  # one for each worker that has clients
    assert figures["mist_processes", "broker", "running"] == 1
    assert figures["mist_process_restarts", "metrics"] == 0
    assert figures["mist_supervisor_report_age_seconds",] < 60
    # Whichever worker answers, it knows what the other one has counted.
    counts = [answers(service) for _ in range(4)]
    assert counts == [counts[0] + more for more in range(4)]
    [master] = [row["pid"] for row in service.status() if row["process"] == "gunicorn"]
    os.kill(psutil.Process(master).children()[0].pid, signal.SIGKILL)
    wait_until(lambda: scrape(service)["mist_live_clients",] < 6, "the others alone")
    assert answers(service) > counts[-1]
