"""Applications that change and go, and webhooks, on the whole service over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.hooks import PROVIDERS, Request, delivery, push
from tests.support.service.clients import Client
from tests.support.service.deployments import SERVE, dockerfile, remove_deployed
from tests.support.service.engine import PrivateEngine
from tests.support.service.repository_app import add_repository_app
from tests.support.service.service import Service
from tests.support.wait import wait_until

OpenClient = Callable[..., Client]

SETTINGS: dict[str, object] = {
    "deployments.settle_seconds": 0.4,
    "deployments.stop_seconds": 2,
    "deployments.concurrency": 1,
    "supervisor.poll_seconds": 0.2,
    "auth.check_seconds": 1,
}


@pytest.fixture(scope="module")
def service(engine: PrivateEngine) -> Iterator[Service]:
    """A service that all tests of this module share."""
    service = Service(engine.host, SETTINGS)
    try:
        service.start()
        yield service
    finally:
        service.destroy()
        remove_deployed(engine)


class Shop:
    """One application with a repository, and an admin's requests."""

    def __init__(self, service: Service, container: str, folder: Path, *steps: str) -> None:
        self.service = service
        self.name = container
        self.id, self.repository = add_repository_app(service, folder / "repo", container, *steps)
        self.headers = {"Cookie": service.login()}

    def ask(self, method: str, path: str = "", **body: Any) -> requests.Response:
        """Send a request about the application."""
        url = f"{self.service.url}/api/apps/{self.id}{path}"
        return requests.request(method, url, json=body, headers=self.headers, timeout=30)

    def deployments(self) -> list[dict[str, Any]]:
        """Return the application's deployments, newest first."""
        found: list[dict[str, Any]] = self.ask("GET", "/deployments").json()["data"]
        return found

    def wait(self, number: int, *statuses: str) -> dict[str, Any]:
        """Wait until a deployment has one of these statuses and return it."""

        def row() -> dict[str, Any]:
            return next(each for each in self.deployments() if each["id"] == number)

        wait_until(lambda: row()["status"] in statuses, f"deployment {number}", seconds=90)
        return row()

    def send(self, request: Request) -> requests.Response:
        """Send a delivery, as a Git provider does."""
        url = f"{self.service.url}/api/hooks/{self.id}"
        return requests.post(url, data=request.body, headers=request.headers, timeout=30)


def test_pushes_are_deployed(
    service: Service, container: str, tmp_path: Path, engine: PrivateEngine
) -> None:
    """Each provider's push is deployed once, and one that waits is replaced by the next."""
    shop = Shop(service, container, tmp_path, "RUN sleep 1")
    shown = service.mist("app", "hook", shop.name).stdout
    secret = shown.split("Secret: ")[1].split()[0]
    assert f"/api/hooks/{shop.id}" in shown
    numbers = []
    for provider in PROVIDERS:
        request = delivery(provider, secret, push(provider), number=provider)
        answer = shop.send(request)
        assert answer.status_code == 201, answer.text
        numbers.append(answer.json()["data"]["deployment_id"])
        assert shop.send(request).json()["data"]["deployment_id"] == numbers[-1]
        forged = delivery(provider, secret + "x", push(provider), number="other")
        assert shop.send(forged).status_code == 403
        other = delivery(provider, secret, push(provider, branch="next"), number="next")
        assert shop.send(other).status_code == 202
    rows = {row["id"]: row for row in shop.deployments()}
    assert sorted(rows) == numbers
    last = shop.wait(numbers[-1], "success", "failed")
    assert last["status"] == "success", last
    assert last["commit_hash"] == shop.repository.git("rev-parse", "HEAD").strip()
    rows = {row["id"]: row for row in shop.deployments()}
    # The first may have begun before the second arrived; those in between have waited.
    assert {rows[n]["error_message"] for n in numbers[1:-1]} == {"Cancelled by a newer push"}
    assert engine.state(container) == "running"


def test_a_removal(
    service: Service,
    container: str,
    tmp_path: Path,
    engine: PrivateEngine,
    open_client: OpenClient,
) -> None:
    """Streams end with the reason, a running deployment is cancelled, and volumes are kept."""
    shop = Shop(service, container, tmp_path)
    volume = f"{container}-data"
    service.mist("app", "edit", shop.name, "--volume", f"{volume}:/data")
    first = shop.ask("POST", "/deployments").json()["data"]["id"]
    assert shop.wait(first, "success", "failed")["status"] == "success"
    cookie = shop.headers["Cookie"]
    log = open_client(service.ws_url("container/logs", appId=shop.id), cookie)
    log.wait_lines(1)
    (shop.repository.folder / "Dockerfile").write_text(dockerfile("RUN echo builds; sleep 60"))
    shop.repository.git("commit", "-qam", "Slow")
    running = shop.ask("POST", "/deployments").json()["data"]["id"]
    waiting = shop.ask("POST", "/deployments").json()["data"]["id"]
    viewers = [
        open_client(service.ws_url("deployment/logs", deploymentId=number), cookie)
        for number in (running, waiting)
    ]
    viewers[0].wait_for(lambda _: any("builds" in line for line in viewers[0].lines), 60)
    logs = [service.paths.deployment_log(number) for number in (first, running)]
    assert all(path.exists() for path in logs)
    try:
        # As from another machine; the next test removes one as on this machine.
        token = service.mist("token", "add", "afar").stdout.strip()
        remove = ("app", "remove", shop.name, "--url", service.url, "--token", token)
        unanswered = service.mist(*remove, check=False)
        assert (unanswered.returncode, engine.state(container)) == (1, "running")
        assert f"removes {shop.name}, its deployments (3) with" in unanswered.stdout
        done = service.mist(*remove, "--yes", timeout=90)
        assert done.stdout == f"Removed {shop.name}.\n"
        assert log.wait_closed() == 4404
        assert log.messages[-1]["data"]["message"] == "The application was removed"
        for viewer in viewers:
            assert viewer.wait_closed() in {1000, 4404}
            assert "Cancelled" in json.dumps(viewer.messages) or viewer.code == 4404
        assert shop.ask("GET").status_code == 404
        everything = engine.client.containers(all=True)
        assert not [c for c in everything if any(container in name for name in c["Names"])]
        assert engine.client.inspect_volume(volume)["Name"] == volume
        tags = [tag for image in engine.client.images() for tag in image["RepoTags"] or ()]
        assert not [tag for tag in tags if tag.startswith(f"mist-app-{shop.id}-")]
        assert not any(path.exists() for path in logs)
    finally:
        engine.remove(container)
        engine.client.remove_volume(volume)


def test_a_container_of_others_is_left_alone(
    service: Service, container: str, engine: PrivateEngine, open_client: OpenClient
) -> None:
    """An application that only watches a container goes without it."""
    engine.run(container, SERVE, stop_signal="SIGTERM")
    app = service.add_app(container, container)
    cookie = service.login()
    log = open_client(service.ws_url("container/logs", appId=app), cookie)
    log.wait_lines(1)
    done = service.mist("app", "remove", container, "--yes")
    assert done.stdout == f"Removed {container}.\n"
    assert log.wait_closed() == 4404
    assert log.messages[-1]["data"]["message"] == "The application was removed"
    assert engine.state(container) == "running"


def test_another_container(
    service: Service, container: str, engine: PrivateEngine, open_client: OpenClient
) -> None:
    """Streams of an application that names another container end, and go on with that one."""
    other = f"{container}-other"
    app = service.add_app(container, container)
    cookie = service.login()
    try:
        for name, words in ((container, "first"), (other, "second")):
            engine.run(name, f"echo {words}; {SERVE}", stop_signal="SIGTERM")
        log = open_client(service.ws_url("container/logs", appId=app), cookie)
        assert log.wait_lines(1)[0] == "first"
        service.mist("app", "edit", container, "--container", other)
        assert log.wait_closed() == 1013
        assert log.messages[-1]["data"]["message"].startswith("The application has another")

        def goes_on() -> bool:
            again = open_client(service.ws_url("container/logs", appId=app), cookie)
            again.wait_for(lambda _: "second" in again.lines or again.closed.is_set())
            return again.code is None

        # The former collector may still be about to end.
        wait_until(goes_on, "the log of the other container")
    finally:
        engine.remove(other)
