"""Tests of the deployments' HTTP resources."""

from __future__ import annotations

from typing import Any

import pytest

from mist.store import App, Store, User
from tests.support.http_api import Api


@pytest.fixture
def app(store: Store, bob: User) -> App:
    """An application that bob may see."""
    app = store.apps.add("web", git_url="https://h/r.git")
    store.apps.grant(app.id, bob.id)
    return app


def _create(api: Api, app: App, user: User, **body: Any) -> Any:
    return api.ask("POST", f"/api/apps/{app.id}/deployments", user, json=body)


def test_a_deployment_is_queued(api: Api, app: App, bob: User, store: Store) -> None:
    """A new deployment is pending and names the user who started it; no body is needed."""
    answer = api.ask("POST", f"/api/apps/{app.id}/deployments", bob)
    assert answer.status_code == 201
    data = answer.json["data"]
    assert (data["status"], data["created_by"]) == ("pending", bob.email)
    assert [each.id for each in store.deployments.pending()] == [data["id"]]


def test_the_history_is_the_applications(api: Api, app: App, bob: User, store: Store) -> None:
    """The history lists the newest deployments first, up to the requested number."""
    ids = [store.deployments.create(app.id, "ada").id for _ in range(3)]
    path = f"/api/apps/{app.id}/deployments"
    assert [each["id"] for each in api.ask("GET", path, bob).json["data"]] == ids[::-1]
    limited = api.ask("GET", path, bob, params={"limit": 2})
    assert len(limited.json["data"]) == 2
    for wrong in ("0", "x", "501", "1" * 99):
        answer = api.ask("GET", path, bob, params={"limit": wrong})
        assert (answer.status_code, answer.json["message"]) == (
            400,
            "limit must be a number from 1 to 500",
        )


def test_one_deployment_has_every_field(api: Api, app: App, bob: User, store: Store) -> None:
    """A deployment has its commit, status, stage, progress, times and initiator."""
    new = store.deployments.create(app.id, "ada@example.com")
    store.deployments.update(new.id, status="building", stage="cloning_repo", commit_hash="abc")
    data = api.ask("GET", f"/api/deployments/{new.id}", bob).json["data"]
    assert data["commit_hash"] == "abc"
    assert (data["status"], data["stage"], data["progress"]) == ("building", "cloning_repo", 0)
    assert data["created_by"] == "ada@example.com"
    assert data["created_at"] == new.created_at
    assert data["started_at"] is None


def test_others_are_not_shown_it(api: Api, app: App, ada: User, store: Store) -> None:
    """A user cannot tell whether another user's deployment exists; an admin can."""
    eve = store.users.add("eve@example.com", "hash")
    new = store.deployments.create(app.id, "ada")
    for path in (f"/api/deployments/{new.id}", "/api/deployments/99", "/api/deployments/x"):
        assert api.ask("GET", path, eve).status_code == 403
    assert _create(api, app, eve).status_code == 403
    assert api.ask("POST", f"/api/deployments/{new.id}/cancel", eve).status_code == 403
    answer = api.ask("GET", "/api/deployments/99", ada)
    assert (answer.status_code, answer.json["message"]) == (404, "Deployment not found")


def test_a_rollback_names_an_earlier_image(api: Api, app: App, bob: User, store: Store) -> None:
    """A rollback names a successful deployment of the same application."""
    earlier = store.deployments.create(app.id, "ada")
    store.deployments.update(earlier.id, status="success", image="mist-app-1:1")
    answer = _create(api, app, bob, rollback_to=earlier.id)
    assert answer.status_code == 201
    assert answer.json["data"]["rollback_to"] == earlier.id


def test_a_rollback_to_nothing_is_refused(api: Api, app: App, bob: User, store: Store) -> None:
    """A rollback to a foreign, failed, missing or malformed deployment is refused."""
    other = store.deployments.create(store.apps.add("other").id, "ada")
    failed = store.deployments.create(app.id, "ada")
    store.deployments.update(failed.id, status="failed")
    statuses = [
        _create(api, app, bob, rollback_to=number).status_code
        for number in (other.id, failed.id, 99, 0, -1, 2**80, "1")
    ]
    assert statuses == [404, 409, 404, 400, 400, 400, 400]


def test_without_a_repository_there_is_nothing_to_deploy(api: Api, ada: User, store: Store) -> None:
    """Deploying an application without a repository is answered with 409."""
    answer = _create(api, store.apps.add("watched"), ada)
    assert answer.status_code == 409
    assert "no Git repository" in answer.json["message"]


def test_the_queue_of_an_application_has_an_end(
    api: Api, app: App, bob: User, store: Store
) -> None:
    """An application can have at most ``deployments.max_pending`` pending deployments."""
    for _ in range(20):
        store.deployments.create(app.id, "ada")
    answer = _create(api, app, bob)
    assert answer.status_code == 409
    assert "20 deployments" in answer.json["message"]


def test_cancelling_asks_the_runner_to_stop(api: Api, app: App, bob: User, store: Store) -> None:
    """Cancelling records the user; cancelling a finished deployment is answered with 409."""
    new = store.deployments.create(app.id, "ada")
    answer = api.ask("POST", f"/api/deployments/{new.id}/cancel", bob)
    assert (answer.status_code, answer.json["data"]["cancelled_by"]) == (202, bob.email)
    store.deployments.update(new.id, status="failed")
    assert api.ask("POST", f"/api/deployments/{new.id}/cancel", bob).status_code == 409


@pytest.mark.parametrize("path", ["/api/apps/1/deployments", "/api/deployments/1/cancel"])
def test_another_origin_can_do_none_of_it(api: Api, app: App, bob: User, path: str) -> None:
    """The cookie alone does not authorise a request from another origin."""
    answer = api.ask("POST", path, bob, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
