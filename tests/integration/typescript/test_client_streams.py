"""``@mist/client``: deployments, metrics, merged logs, floods, and the end of the program."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.integration.conftest import MakeService
from tests.integration.test_deployment_service import QUICK, Site
from tests.integration.typescript.follower import (
    Follow,
    require_client,
    run_later,
    run_numbers,
)
from tests.support.service.deployments import remove_deployed
from tests.support.service.engine import PrivateEngine
from tests.support.service.programs import run
from tests.support.service.proxy import CuttingProxy
from tests.support.service.service import Service

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def deployments(engine: PrivateEngine) -> Iterator[Service]:
    """A shared service for deployments that break nothing."""
    service = Service(engine.host, QUICK)
    try:
        service.start()
        yield service
    finally:
        service.destroy()
        remove_deployed(engine)


@pytest.fixture
def site(deployments: Service, engine: PrivateEngine, tmp_path: Path) -> Site:
    """A site with repositories on the shared service."""
    return Site(deployments, engine, tmp_path)


def texts(records: list[str]) -> list[str]:
    """Return the lines of a deployment's log."""
    found = [json.loads(record) for record in records]
    return [message["data"]["line"] for message in found if message["type"] == "log"]


def test_deployment_from_its_beginning_to_its_end(
    site: Site, container: str, follow: Follow
) -> None:
    """Despite three cuts every record comes once and in order, also for late viewers."""
    app, _ = site.app(container, "RUN for i in $(seq 1 30); do seq 1 20; sleep 0.1; done")
    deployment = site.deploy(app)
    proxy = CuttingProxy(site.service.port)
    options = {"headers": {"Cookie": site.cookie}, "deploymentId": deployment}
    try:
        follower = follow("deployment", url=proxy.url, **options)
        for count in (50, 250, 450):
            follower.wait_lines(count, 90)
            proxy.reset()
            follower.wait_state("reconnecting")
        assert follower.wait_state("ended", 90)["reason"]["code"] == "ended"
    finally:
        proxy.close()
    late = follow("deployment", url=site.service.url, **options)
    late.wait_state("ended")
    records = site.records(deployment)
    assert follower.lines == late.lines == texts(records)
    assert len(follower.lines) > 600
    own = [json.loads(record)["data"] for record in records if '"status"' in record[:20]]
    assert own[-1]["status"] == "success"
    assert [event["data"] for event in late.of("status")] == own
    # Before the log exists, the queue may report something else.
    told = [event["data"] for event in follower.of("status")]
    assert told[-len(own) :] == own
    assert {status["status"] for status in told[: -len(own)]} <= {"pending"}
    assert follower.missing == [(0, True)] * 3
    assert (follower.end(), late.end()) == (0, 0)


def test_failed_deployment_ends_with_its_error(site: Site, container: str, follow: Follow) -> None:
    """The stream gives status and error and ends normally: the stream itself has not failed."""
    app, _ = site.app(container, "RUN echo before; exit 3")
    options = {"url": site.service.url, "headers": {"Cookie": site.cookie}}
    follower = follow("deployment", deploymentId=site.deploy(app), **options)
    follower.wait_state("ended", 90)
    final = follower.of("status")[-1]["data"]
    assert final["status"] == "failed"
    assert final["error_message"]
    assert follower.of("error")[-1]["message"] == final["error_message"]
    assert "before" in follower.lines
    assert follower.end() == 0


def test_deployment_that_its_service_does_not_survive(
    make_service: MakeService, engine: PrivateEngine, container: str, tmp_path: Path, follow: Follow
) -> None:
    """The stream survives a SIGKILL of the supervisor in the middle of a build."""
    site = Site(make_service(engine, QUICK), engine, tmp_path)
    app, _ = site.app(container, "RUN seq 1 200; sleep 600")
    options = {"url": site.service.url, "headers": {"Cookie": site.cookie}}
    deployment = site.deploy(app)
    follower = follow("deployment", deploymentId=deployment, **options)
    follower.wait_lines(200, 90)
    site.service.kill()
    follower.wait_state("reconnecting")
    site.service.start()
    follower.wait_state("ended", 60)
    assert follower.lines == texts(site.records(deployment))
    assert follower.of("status")[-1]["data"]["status"] == "failed"
    assert follower.of("error")[-1]["message"] == "Interrupted by a restart"


def test_program_that_deploys(site: Site, container: str) -> None:
    """A TypeScript program uses the HTTP API: sign in, deploy, follow to the end, sign out."""
    require_client()
    app, _ = site.app(container, "RUN echo built by a program")
    program = Path(__file__).with_name("calls.mjs")
    password = site.service.password
    report = json.loads(run("node", program, site.service.url, password, str(app)))
    assert [report[who]["status"] for who in ("nobody", "wrong", "absent", "after")] == [
        *(401, 401, 404, 401)
    ]
    assert report["absent"]["message"] == "Application not found"
    assert (report["me"]["email"], report["me"]["role"]) == ("admin@localhost", "admin")
    assert report["app"]["container"] == container
    assert "built by a program" in report["lines"]
    assert report["reason"]["code"] == "ended"
    assert report["deployment"]["status"] == "success"
    assert report["newest"] == [report["deployment"]["id"]]


def test_metrics_have_a_history_at_once(service: Service, admin: str, follow: Follow) -> None:
    """Samples that the service remembers come first, then one each second."""
    options = {"url": service.url, "headers": {"Cookie": admin}}
    first = follow("metrics", **options)
    first.wait_for(lambda: len(first.samples) >= 4, "4 samples")
    second = follow("metrics", history=4, **options)
    second.wait_for(lambda: second.samples, "samples")
    assert len(second.of("samples")[0]["samples"]) >= 4
    second.wait_for(lambda: len(second.samples) >= 7, "live samples")
    times = [sample["timestamp"] for sample in second.samples]
    assert times == sorted(set(times))
    assert (first.end(), second.end()) == (0, 0)


def test_metrics_through_cuts(
    service: Service, admin: str, proxy: CuttingProxy, follow: Follow
) -> None:
    """There is a sample for every second, including those without a connection."""
    follower = follow("metrics", url=proxy.url, headers={"Cookie": admin}, history=2)
    for count in (4, 7):
        follower.wait_for(lambda n=count: len(follower.samples) >= n, f"{count} samples")  # type: ignore[misc]
        proxy.reset()
        follower.wait_state("reconnecting")
        follower.wait_state("live")
    follower.wait_for(lambda: len(follower.samples) >= 10, "10 samples")
    times = [sample["timestamp"] for sample in follower.samples]
    assert times == sorted(set(times))
    moments = [datetime.fromisoformat(time[:19]).timestamp() for time in times]
    # On a busy machine the sampler may be late by most of a second, and in time the next time.
    assert all(after - before <= 2 for before, after in itertools.pairwise(moments))
    assert follower.missing == [(0, False), (0, False)]
    assert follower.end() == 0


def test_several_logs_merged_by_engine_time(
    service: Service,
    engine: PrivateEngine,
    container: str,
    admin: str,
    proxy: CuttingProxy,
    follow: Follow,
) -> None:
    """The merged log has all lines of two busy containers, ordered by their times."""
    names = [f"{container}-{letter}" for letter in "ab"]
    apps = {}
    try:
        for name in names:
            begin = run_numbers(engine, name, 1_000)
            begin()
            apps[name[-1]] = service.add_app(name, name)
        options = {"url": proxy.url, "headers": {"Cookie": admin}, "tail": 1000}
        follower = follow("merged", apps=apps, **options)
        follower.wait_lines(2_000)
    finally:
        for name in names:
            engine.remove(name)
    for source in "ab":
        own = [
            line for line, of in zip(follower.lines, follower.sources, strict=True) if of == source
        ]
        assert own == [str(number) for number in range(1_000)]
    assert follower.times == sorted(follower.times)


def test_many_lines_come_in_few_events(
    service: Service, engine: PrivateEngine, container: str, admin: str, follow: Follow
) -> None:
    """A flood gives every line, in far fewer events than lines."""
    go = run_later(engine, container, "seq 0 59999; sleep 600")
    app = service.add_app(container, container)
    follower = follow("logs", url=service.url, headers={"Cookie": admin}, appId=app)
    follower.wait_state("live")
    go()
    follower.wait_for(lambda: "59999" in follower.lines[-1:], "the last line", 60)
    told = sum(event["lines"] for event in follower.of("skipped"))
    assert len(follower.lines) + told == 60_000
    assert len(follower.of("lines")) < len(follower.lines) / 20
    assert follower.end() == 0


# ------------------------------------------------------------------- the end


@pytest.mark.parametrize("when", ["live", "stalled", "handshake", "reconnecting"])
def test_abort_leaves_nothing_that_keeps_the_program(
    service: Service, admin: str, follow: Follow, when: str
) -> None:
    """Whatever the network does, Node ends by itself after an abort."""
    proxy = CuttingProxy(service.port)
    try:
        proxy.swallow(when == "handshake")
        follower = follow("metrics", url=proxy.url, headers={"Cookie": admin})
        if when == "handshake":
            follower.wait_for(lambda: proxy.accepted, "the attempt")
        else:
            follower.wait_state("live")
        if when in ("stalled", "reconnecting"):
            proxy.refuse(True)
        if when == "stalled":
            proxy.stall()
        elif when == "reconnecting":
            proxy.reset()
            follower.wait_state("reconnecting")
        assert follower.end(5) == 0
        assert follower.state == "ended"
    finally:
        proxy.close()
