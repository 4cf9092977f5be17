"""Monitoring: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import falcon
from prometheus_client import CONTENT_TYPE_LATEST

from api.http.access import services
from api.http.envelope import Envelope, reply, write
from mist import health
from mist.errors import StoreError
from mist.health import Health
from mist.store import Store


class AliveResource:
    """``/healthz``: the process responds."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Respond with 200."""
        reply(resp, None, "alive")

    on_head = on_get


class ReadyResource:
    """``/readyz``: the store and the bus can be reached, and no process hangs."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Respond with 200, or with 503 and the problems found."""
        with_ = services(req)
        report = health.read(with_.paths) or Health(0.0)
        problems = {"store": _store_problem(with_.store), "bus": with_.bus_problem()}
        wrong = [*problems.values(), _sentence(report.hung)]
        # A process that has ended and is about to be replaced is told, but is not a reason to
        # send clients away.
        if processes := _sentence(report.hung | report.troubles):
            problems["processes"] = processes
        if not any(wrong):
            reply(resp, problems, "ready")
            return
        resp.status = falcon.HTTP_503
        write(resp, Envelope(False, "; ".join(filter(None, wrong)), problems))

    on_head = on_get


class PrometheusResource:
    """``/metrics``: the load of all workers and the state of the service, for Prometheus."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Respond with the current values."""
        resp.data = services(req).monitoring.text()
        resp.content_type = CONTENT_TYPE_LATEST


def _sentence(problems: dict[str, str]) -> str | None:
    return "; ".join(f"{process} {problem}" for process, problem in problems.items()) or None


def _store_problem(store: Store) -> str | None:
    try:
        store.check()
    except StoreError as error:
        return str(error)
    return None
