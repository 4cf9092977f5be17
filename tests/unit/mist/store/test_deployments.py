"""Tests of the queue and the history of deployments."""

from __future__ import annotations

import pytest

from mist.errors import StoreError
from mist.store import App, Store


@pytest.fixture
def app(store: Store) -> App:
    """An application to deploy."""
    return store.apps.add("web", git_url="https://h/r.git")


def test_a_new_deployment_waits(store: Store, app: App) -> None:
    """A new deployment is a pending row."""
    new = store.deployments.create(app.id, "ada@example.com")
    assert (new.status, new.progress, new.created_by) == ("pending", 0, "ada@example.com")
    assert new.started_at is None
    assert not new.finished
    assert store.deployments.get(new.id) == new


def test_the_queue_is_in_order_of_arrival(store: Store, app: App) -> None:
    """The queue is in order of arrival; running rows are not pending, ended ones not unfinished."""
    ids = [store.deployments.create(app.id, "ada").id for _ in range(3)]
    store.deployments.update(ids[0], status="success")
    store.deployments.update(ids[1], status="building")
    assert [each.id for each in store.deployments.pending()] == [ids[2]]
    assert [each.id for each in store.deployments.unfinished()] == ids[1:]


def test_the_history_begins_with_the_newest(store: Store, app: App) -> None:
    """The history of an application starts with the newest and has at most the given length."""
    other = store.apps.add("other")
    ids = [store.deployments.create(app.id, "ada").id for _ in range(3)]
    store.deployments.create(other.id, "ada")
    assert [each.id for each in store.deployments.for_app(app.id)] == ids[::-1]
    assert [each.id for each in store.deployments.for_app(app.id, 1)] == ids[-1:]


def test_what_is_over_does_not_change(store: Store, app: App) -> None:
    """A late update does not reopen a finished deployment."""
    new = store.deployments.create(app.id, "ada")
    assert store.deployments.update(new.id, status="failed", error_message="no")
    assert not store.deployments.update(new.id, status="building")
    over = store.deployments.get(new.id)
    assert over is not None
    assert (over.status, over.error_message, over.finished) == ("failed", "no", True)


def test_the_first_to_cancel_is_named(store: Store, app: App) -> None:
    """A second cancellation changes nothing and is not an error."""
    new = store.deployments.create(app.id, "ada")
    assert store.deployments.request_cancel(new.id, "ada")
    assert store.deployments.request_cancel(new.id, "bob")
    found = store.deployments.get(new.id)
    assert found is not None
    assert found.cancelled_by == "ada"


def test_what_is_over_cannot_be_cancelled(store: Store, app: App) -> None:
    """Neither a finished nor a missing deployment can be cancelled."""
    new = store.deployments.create(app.id, "ada")
    store.deployments.update(new.id, status="success")
    assert not store.deployments.request_cancel(new.id, "ada")
    assert not store.deployments.request_cancel(99, "ada")


def test_a_deployment_is_of_an_application(store: Store) -> None:
    """The database enforces the reference to an application."""
    with pytest.raises(StoreError):
        store.deployments.create(99, "ada")


def test_a_status_is_one_of_the_documents(store: Store, app: App) -> None:
    """The database enforces the documented statuses."""
    new = store.deployments.create(app.id, "ada")
    with pytest.raises(StoreError):
        store.deployments.update(new.id, status="sleeping")  # type: ignore[arg-type]
