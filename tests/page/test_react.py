"""``@mist/react`` with React in Chromium: its hooks against the real service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.integration.conftest import MakeService
from tests.integration.test_container_stream import numbered
from tests.integration.test_deployment_service import QUICK, Site
from tests.integration.typescript.follower import run_later
from tests.page.react.stage import Stage, bundle
from tests.support.service.deployments import remove_deployed
from tests.support.service.engine import PrivateEngine
from tests.support.service.proxy import CuttingProxy
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

OpenStage = Callable[..., Stage]

#: About 300 lines a second.
LINES = 2_000


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The test page's programs: one with our hooks, one with the document's own hook."""
    folder = tmp_path_factory.mktemp("react")
    return {variant: bundle(variant, folder / variant) for variant in ("hooks", "document")}


@pytest.fixture
def open_stage(browser: Browser, programs: dict[str, str]) -> Iterator[OpenStage]:
    """Open the page in a new profile, signed in; it is checked after the test."""
    opened: list[Stage] = []

    def open_one(
        service: Service, variant: str = "hooks", origin: str = "", *, signed_in: bool = True
    ) -> Stage:
        page = browser.new_context(bypass_csp=True).new_page()
        stage = Stage(page, programs[variant], service, origin)
        opened.append(stage)
        if signed_in:
            stage.sign_in()
        stage.open()
        return stage

    yield open_one
    for stage in opened:
        stage.page.context.close()
    assert [problem for stage in opened for problem in stage.problems] == []


@pytest.fixture
def proxy(service: Service) -> Iterator[CuttingProxy]:
    """A proxy in front of the shared service."""
    proxy = CuttingProxy(service.port)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("variant", ["document", "hooks"])
def test_the_documents_component_runs_unchanged(
    service: Service, engine: PrivateEngine, container: str, open_stage: OpenStage, variant: str
) -> None:
    """The component shows the same with the document's own hook and with ours."""
    engine.run(container, "echo first; sleep 0.1; echo second >&2; sleep 600")
    app = service.add_app(f"{container}-{variant}", container)
    wait_until(lambda: len(engine.lines(container)) == 2, "two lines")
    stage = open_stage(service, variant)
    stage.show("Log", appId=app)
    stage.wait_text("[role=status]", "running")
    stage.wait_text("#last", "second")
    engine.say(container, "echo third")
    stage.wait_text("#last", "third")
    if variant == "hooks":  # The document's own hook opens two connections in strict mode.
        assert stage.lines == ["first", "second", "third"]
        assert not stage.page.locator("[role=alert]").text_content()
    stage.show("Log", appId=999_999)
    stage.wait_text("[role=alert]", "Application not found")


def test_strict_mode_makes_one_connection(
    service: Service, engine: PrivateEngine, container: str, open_stage: OpenStage
) -> None:
    """Strict mode runs effects twice, but the service sees one client until the page closes."""
    engine.run(container, "echo only; sleep 600")
    app = service.add_app(container, container)
    stage = open_stage(service)
    stage.show("Log", appId=app)
    stage.wait_text("#last", "only")
    assert len(stage.sockets) == 1
    stage.call("leave")
    wait_until(lambda: _pumped(stage).open_sockets == 0, "the socket to close")
    wait_until(lambda: not service.running(f"container/{app}"), "the collector to go")


def test_another_application_is_another_log(
    service: Service, engine: PrivateEngine, container: str, open_stage: OpenStage
) -> None:
    """Switching shows nothing of the previous application, and keeps one connection open."""
    names = [f"{container}-{letter}" for letter in "ab"]
    stage = open_stage(service)
    try:
        for name in names:
            engine.run(name, f"for i in $(seq 1 50); do echo {name} $i; done; sleep 600")
        first, second = [service.add_app(name, name) for name in names]
        for app, name in ((first, names[0]), (second, names[1]), (first, names[0])):
            stage.show("Logs", appId=app)
            stage.wait_for(f"view.logs?.at(-1) === '{name} 50'")
        stage.show("Logs", appId=None)
        stage.wait_for("view.status === 'idle'")
        wait_until(lambda: _pumped(stage).open_sockets == 0, "the sockets to close")
    finally:
        for name in names:
            engine.remove(name)
    views = [view["logs"] for view in stage.call("views")]
    assert all(len({line.split()[0] for line in logs}) <= 1 for logs in views)
    assert [] in views[10:-1]
    assert len(stage.sockets) == 3


def test_cut_connections_are_shown_and_lose_nothing(
    service: Service,
    engine: PrivateEngine,
    container: str,
    proxy: CuttingProxy,
    open_stage: OpenStage,
) -> None:
    """At 300 lines a second, three cuts lose and repeat no number."""
    engine.run(container, numbered(LINES, pause_every=6))
    app = service.add_app(container, container)
    stage = open_stage(service, origin=proxy.url)
    stage.show("Logs", appId=app)
    for count in (200, 700, 1200):
        stage.wait_for(f"view.logs?.length > {count}")
        proxy.reset()
        stage.wait_for("view.status === 'disconnected' && view.error === 'The connection was lost'")
        stage.wait_for("view.status === 'running' && view.error === null")
    stage.wait_for(f"view.logs?.at(-1) === '{LINES - 1}'")
    view: dict[str, Any] = stage.call("view")
    first = int(view["logs"][0])
    assert view["logs"] == [str(number) for number in range(first, LINES)]
    assert [line["line"] for line in view["lines"]] == view["logs"]
    assert view["missing"] == 0


def test_half_open_connection_is_replaced_when_the_computer_wakes(
    service: Service,
    engine: PrivateEngine,
    container: str,
    proxy: CuttingProxy,
    open_stage: OpenStage,
) -> None:
    """An `online` event reveals a dead connection long before its timeout."""
    engine.run(container, "echo before; sleep 600")
    app = service.add_app(container, container)
    stage = open_stage(service, origin=proxy.url)
    stage.show("Log", appId=app)
    stage.wait_text("#last", "before")
    proxy.stall()
    engine.say(container, "echo asleep")
    # A connection that was heard from just now is not checked.
    stage.page.wait_for_timeout(2_500)
    assert stage.lines == ["before"]
    stage.page.evaluate("dispatchEvent(new Event('online'))")
    stage.wait_text("#last", "asleep", 10)
    assert stage.lines == ["before", "asleep"]


def test_a_flood_is_drawn_frame_by_frame(
    engine: PrivateEngine, make_service: MakeService, container: str, open_stage: OpenStage
) -> None:
    """Thousands of lines a second cause at most one commit per frame and a bounded list."""
    service = make_service(engine, {"streams.ring_lines": 100_000})
    go = run_later(engine, container, numbered(30_000, pause_every=80))
    app = service.add_app(container, container)
    stage = open_stage(service)
    stage.show("Logs", appId=app, maxLines=500)
    stage.wait_for("view.status === 'running'")
    commits, frames = stage.call("commits"), stage.page.evaluate("document.timeline.currentTime")
    go()
    stage.wait_for("view.logs?.at(-1) === '29999'", 90)
    passed = stage.page.evaluate("document.timeline.currentTime") - frames
    assert stage.call("commitsInOneFrame") == 1
    # At 60 frames a second; there were far fewer commits than lines.
    assert stage.call("commits") - commits <= passed / 16 + 2
    assert stage.call("commits") - commits < 30_000 / 10
    views: list[dict[str, Any]] = stage.call("views")
    assert max(len(view["logs"]) for view in views) == 500
    assert views[-1]["logs"] == [str(number) for number in range(29_500, 30_000)]
    assert views[-1]["dropped"] + views[-1]["missing"] == 29_500


def test_without_a_session_and_back(
    service: Service, engine: PrivateEngine, container: str, open_stage: OpenStage
) -> None:
    """The reason is shown; after signing in, `reconnect` is enough."""
    engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    stage = open_stage(service, signed_in=False)
    stage.show("Logs", appId=app)
    stage.wait_for("view.status === 'error' && view.connection === 'failed'")
    assert stage.call("view")["error"] == "Not signed in"
    stage.sign_in()
    stage.page.evaluate("stage.view().reconnect()")
    stage.wait_for("view.status === 'running' && view.error === null")
    stage.wait_for("view.logs?.join() === 'begun'")


def test_html_of_the_server_comes_to_life(
    service: Service, engine: PrivateEngine, container: str, open_stage: OpenStage
) -> None:
    """The browser's first render matches the server's; then the log appears."""
    engine.run(container, "echo begun; sleep 600")
    app = service.add_app(container, container)
    stage = open_stage(service)
    assert ">connecting<" in stage.call("hydrate", "Log", {"appId": app})
    stage.wait_text("#last", "begun")
    assert len(stage.sockets) == 1


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"appId": "NaN"}, 'appId must be a positive integer, not "NaN"'),
        ({"appId": -1}, "appId must be a positive integer, not -1"),
        ({"appId": 1, "tail": 0.5}, "tail must be an integer of 0 or more, not 0.5"),
        (
            {"appId": 1, "url": "ftp://mist"},
            'url must be an http or https address, not "ftp://mist',
        ),
    ],
)
def test_wrong_options_are_shown_and_break_nothing(
    service: Service, open_stage: OpenStage, properties: dict[str, object], words: str
) -> None:
    """Wrong options are an error of the view, and the page keeps working."""
    stage = open_stage(service)
    stage.show("Logs", **properties)
    stage.wait_for("view.status === 'error'")
    assert words in stage.call("view")["error"]
    assert stage.sockets == []


# -------------------------------------------------------- deployments, metrics


@pytest.fixture(scope="module")
def deployments(engine: PrivateEngine) -> Iterator[Service]:
    """A shared service for the deployments."""
    service = Service(engine.host, QUICK)
    try:
        service.start()
        yield service
    finally:
        service.destroy()
        remove_deployed(engine)


@pytest.mark.parametrize(("step", "status"), [("seq 1 200", "success"), ("exit 3", "failed")])
def test_deployment_from_its_beginning_to_its_end(
    deployments: Service,
    engine: PrivateEngine,
    container: str,
    tmp_path: Path,
    open_stage: OpenStage,
    step: str,
    status: str,
) -> None:
    """The hook shows stages, progress, log and outcome live, and the same when viewed again."""
    site = Site(deployments, engine, tmp_path)
    app, _ = site.app(f"{container}-{status}", f"RUN {step}")
    stage = open_stage(deployments)
    stage.show("Deployment", deploymentId=None)
    stage.wait_for("view.status === 'idle'")
    deployment = site.deploy(app)
    stage.show("Deployment", deploymentId=deployment)
    stage.wait_for("view.connection === 'ended' && view.status !== 'idle'", 90)
    first: dict[str, Any] = stage.call("view")
    assert first["status"] == status
    progress = [view["progress"] for view in stage.call("views")]
    assert progress == sorted(progress)
    if status == "success":
        assert (first["progress"], first["stage"], first["error"]) == (100, "completed", None)
        assert set(map(str, range(1, 201))) <= set(first["logs"])
    else:
        assert first["error"] == site.row(deployment)["error_message"]
    stage.call("leave")
    stage.show("Deployment", deploymentId=deployment)
    stage.wait_for("view.connection === 'ended'")
    again: dict[str, Any] = stage.call("view")
    assert again == first


def test_metrics_with_their_history(service: Service, open_stage: OpenStage) -> None:
    """The hook has the newest sample, and no more earlier ones than requested."""
    stage = open_stage(service)
    stage.show("Metrics", history=60, maxSamples=4)
    stage.wait_for("view.history?.length === 4", 20)
    view: dict[str, Any] = stage.call("view")
    assert view["metrics"] == view["history"][-1]
    assert view["metrics"]["cpu"]["cores"] >= 1
    assert (view["connection"], view["error"]) == ("live", None)
    stage.wait_for(f"view.metrics?.timestamp > '{view['metrics']['timestamp']}'")
    view = stage.call("view")
    times = [sample["timestamp"] for sample in view["history"]]
    assert len(times) == 4
    assert times == sorted(set(times))


def _pumped(stage: Stage) -> Stage:
    """Let the browser deliver its events."""
    stage.page.wait_for_timeout(20)
    return stage
