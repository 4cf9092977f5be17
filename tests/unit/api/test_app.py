"""Tests of health, metrics and errors in the envelope."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from sqlalchemy import event

from mist.health import Health, Report
from mist.store import Store, User, database
from tests.support.http_api import Api


def test_alive_is_without_condition(api: Api) -> None:
    """``/healthz`` says that the process answers, and nothing else."""
    api.bus_problem = "no broker"
    assert api.ask("GET", "/healthz").status_code == 200


def test_ready_is_when_store_and_bus_are(api: Api) -> None:
    """The service is ready when both the store and the bus are; a failing one is named."""
    assert api.ask("GET", "/readyz").json["data"] == {"store": None, "bus": None}
    api.bus_problem = "no broker answers"
    answer = api.ask("GET", "/readyz")
    assert (answer.status_code, answer.json["message"]) == (503, "no broker answers")


def test_a_process_that_hangs_is_not_ready(api: Api) -> None:
    """A hung process is named with 503; one that is being restarted is only named."""
    report = Report(api.services.paths)
    report.write(Health(time.monotonic(), {}, {"metrics": "crashed: exit status 1"}))
    answer = api.ask("GET", "/readyz")
    assert answer.status_code == 200
    assert answer.json["data"]["processes"] == "metrics crashed: exit status 1"
    report.write(Health(time.monotonic(), {"container/1": "has not responded for 4 s"}))
    answer = api.ask("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json["message"] == "container/1 has not responded for 4 s"
    report.write(Health(time.monotonic() - 60.0))
    assert "supervisor has not responded" in api.ask("GET", "/readyz").json["message"]
    report.close()


def test_a_store_that_is_gone_is_not_ready(api: Api, tmp_path: Path) -> None:
    """A missing store makes the service not ready, and the text says what to do."""
    api.services.store.close()
    for file in (tmp_path / "store").glob("mist.db*"):
        file.unlink()
    answer = api.ask("GET", "/readyz")
    assert answer.status_code == 503
    assert "mist up" in answer.json["data"]["store"]


def test_figures_are_in_the_format_of_prometheus(api: Api) -> None:
    """Metrics have Prometheus' format; all unknown paths count as one."""
    api.ask("GET", "/healthz")
    api.ask("GET", "/nothing/here")
    api.ask("HEAD", "/healthz")
    answer = api.ask("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 'mist_http_answers_total{method="GET",route="/healthz",status="200"} 1.0' in answer.text
    assert 'route="none",status="404"} 1.0' in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nothing/here", 404),
        ("GET", "/api/apps/1/2/3", 404),
        ("GET", "/" + "x" * 8_000, 404),
        ("GET", "/%ff%fe", 404),
        ("DELETE", "/api/apps", 405),
        ("GET", "/api/auth/login", 405),
        ("POST", "/healthz", 405),
    ],
)
def test_what_does_not_exist(api: Api, method: str, path: str, status: int) -> None:
    """An unknown address gets the envelope and never a page, whatever the client accepts."""
    answer = api.ask(method, path, headers={"Accept": "text/html"})
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["success"] is False
    assert answer.json["message"]


def test_answers_are_not_kept(api: Api) -> None:
    """Answers are neither cached nor sniffed."""
    answer = api.ask("GET", "/healthz")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_store_that_fails_is_503(api: Api, ada: User, tmp_path: Path) -> None:
    """A failing store is answered with 503 and the reason, without a traceback."""
    (tmp_path / "store" / "mist.db").unlink()
    api.services.store.close()
    answer = api.ask("GET", "/api/apps", ada)
    assert (answer.status_code, answer.json["success"]) == (503, False)
    assert "Traceback" not in answer.text


def test_a_full_disk_is_507(api: Api, ada: User, tmp_path: Path) -> None:
    """A full disk is answered with 507 and the reason."""
    data = database.connect("", tmp_path / "store" / "mist.db", 1)

    @event.listens_for(data.engine, "connect")
    def _limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    full = api.with_(store=Store(data))
    body = {"name": "web", "env": {"A": "x" * 1_500}}
    answers = [full.ask("POST", "/api/apps", ada, json=body | {"name": f"w{n}"}) for n in range(9)]
    assert answers[-1].status_code == 507
    assert "free some space" in answers[-1].json["message"]
    data.close()


def test_a_defect_is_500_without_its_details(
    api: Api, ada: User, capsys: pytest.CaptureFixture[str]
) -> None:
    """A defect is answered with 500; its details go to the log only."""

    def fail() -> str | None:
        raise RuntimeError("the secret is 42")

    broken = api.with_(bus_problem=fail)
    answer = broken.ask("GET", "/readyz")
    assert (answer.status_code, answer.json["success"]) == (500, False)
    assert "42" not in answer.text
    assert "the secret is 42" in capsys.readouterr().out
