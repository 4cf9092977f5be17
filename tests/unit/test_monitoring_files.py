"""The dashboard and the alert rules in ``etc/`` ask for what ``/metrics`` has."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.monitoring import Monitoring
from mist import health
from mist.paths import Paths
from mist.store import Store

ETC = Path(__file__).parents[2] / "etc"


def expressions() -> list[str]:
    """Return the PromQL expressions of both files."""
    rules = (ETC / "prometheus/alerts.yml").read_text()
    dashboard: dict[str, Any] = json.loads((ETC / "grafana/mist.json").read_text())
    return [
        *re.findall(r"^ +expr: (.*)$", rules, re.M),
        *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]),
        *(each["query"]["query"] for each in dashboard["templating"]["list"][1:]),
    ]


@pytest.fixture
def labels(store: Store, tmp_path: Path) -> dict[str, set[str]]:
    """The labels of each series of a service that has something of everything."""
    paths = Paths(tmp_path, tmp_path)
    app = store.apps.add("web", git_url="https://example.com/web.git")
    store.deployments.create(app.id, "ada@example.com")
    report = health.Report(paths)
    report.write(
        health.Health(
            time.monotonic(), processes={"container": {"running": 1}}, restarts={"container": 0}
        )
    )
    monitoring = Monitoring(paths, store)
    monitoring.answers.labels("/healthz", "GET", "200").inc()
    text = monitoring.text().decode()
    report.close()
    return {
        sample.name: set(sample.labels) | {"instance", "job"}
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("expression", expressions())
def test_series_and_labels_exist(labels: dict[str, set[str]], expression: str) -> None:
    """Every series and every label of an expression exists."""
    names = set(re.findall(r"\bmist_\w+", expression))
    assert names <= labels.keys()
    known = set[str]().union({"instance", "job"}, *(labels[name] for name in names))
    for group in re.findall(r"by \(([^)]*)\)", expression):
        assert set(group.split(", ")) <= known
    assert set(re.findall(r'(\w+)(?:=~|!=|=)"', expression)) <= known
