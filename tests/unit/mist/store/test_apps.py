"""Tests of applications in the store, and of who may see them."""

from __future__ import annotations

import pytest

from mist.errors import AlreadyExists, Conflict, StoreError
from mist.store import Store
from tests.support.store import add_user


def test_a_container_is_named_after_its_application(store: Store) -> None:
    """A container without a name of its own is called mist-app-ID."""
    plain, named = store.apps.add("web"), store.apps.add("db", container="postgres-1")
    assert (plain.container, named.container) == (f"mist-app-{plain.id}", "postgres-1")


def test_an_application_keeps_what_it_was_given(store: Store) -> None:
    """Every field of an application is stored; the environment comes back as a dictionary."""
    fields = {"git_url": "https://h/r.git", "branch": "main", "port": 80, "env": {"A": "1"}}
    added = store.apps.add("web", **fields)  # type: ignore[arg-type]
    assert store.apps.get(added.id) == added == store.apps.by_name("web")
    assert {name: getattr(added, name) for name in fields} == fields


def test_a_name_is_taken_once(store: Store) -> None:
    """A name is unique, because the command identifies applications by it."""
    store.apps.add("web")
    with pytest.raises(AlreadyExists, match="application 'web' already"):
        store.apps.add("web")


def test_a_grant_shows_one_application(store: Store) -> None:
    """A grant shows its application to its user; repeating it has no effect."""
    ada, bob = add_user(store, "ada@example.com"), add_user(store, "bob@example.com")
    web, api = store.apps.add("web"), store.apps.add("api")
    store.apps.grant(web.id, ada.id)
    store.apps.grant(web.id, ada.id)
    assert store.apps.visible_to(ada) == [web]
    assert store.apps.visible_to(bob) == []
    assert [store.apps.allowed(app.id, ada) for app in (web, api)] == [True, False]


def test_a_project_shows_its_applications(store: Store) -> None:
    """A member of a project sees exactly that project's applications."""
    ada = add_user(store, "ada@example.com")
    project = store.projects.add("shop")
    store.projects.add_member(project.id, ada.id)
    store.projects.add_member(project.id, ada.id)
    web = store.apps.add("web", project_id=project.id)
    store.apps.add("other", project_id=store.projects.add("else").id)
    store.apps.add("none")
    assert store.apps.visible_to(ada) == [web]
    assert store.apps.allowed(web.id, ada)


def test_an_admin_sees_everything(store: Store) -> None:
    """An admin needs no grant, not even for an application that does not exist."""
    admin = add_user(store, "ada@example.com", "admin")
    web = store.apps.add("web")
    assert store.apps.visible_to(admin) == [web]
    assert store.apps.allowed(web.id, admin)
    assert store.apps.allowed(99, admin)


def test_a_grant_of_nothing_is_refused(store: Store) -> None:
    """A grant for a missing user or application is refused."""
    with pytest.raises(StoreError):
        store.apps.grant(1, 1)


@pytest.mark.parametrize("first", ["box", "mist-app-2"])
def test_one_application_deploys_to_a_container(store: Store, first: str) -> None:
    """Only one application deploys to a container, even if its name is the other's default."""
    web = store.apps.add("web", git_url="https://h/web.git", container=first)
    second = None if first == "mist-app-2" else first
    with pytest.raises(Conflict, match=f"container {first} is already deployed by web; choose"):
        store.apps.add("api", git_url="https://h/api.git", container=second)
    assert store.apps.all() == [web]
    # An application that only shows a container deploys nothing. Names are case-sensitive.
    store.apps.add("log", container=first)
    store.apps.add("other", git_url="https://h/api.git", container=first.upper())


def test_an_application_adopts_a_container(store: Store) -> None:
    """The last adoption counts for the application and for the container."""
    web, api = store.apps.add("web"), store.apps.add("api")
    assert store.apps.adopted(web.id) is None
    store.apps.adopt(web.id, "a" * 64)
    store.apps.adopt(web.id, "b" * 64)
    store.apps.adopt(web.id, "b" * 64)
    assert (store.apps.adopted(web.id), store.apps.adopted(api.id)) == ("b" * 64, None)
    store.apps.adopt(api.id, "b" * 64)
    assert (store.apps.adopted(web.id), store.apps.adopted(api.id)) == (None, "b" * 64)


def test_nobody_adopts_for_an_application_that_is_not_there(store: Store) -> None:
    """Adopting for a missing application is refused and changes no other adoption."""
    web = store.apps.add("web")
    store.apps.adopt(web.id, "a" * 64)
    with pytest.raises(StoreError):
        store.apps.adopt(99, "a" * 64)
    assert store.apps.adopted(web.id) == "a" * 64


def test_containers_of_some_apps(store: Store) -> None:
    """Containers without a name get the default; missing applications are left out."""
    web, db = store.apps.add("web"), store.apps.add("db", container="postgres-1")
    store.apps.add("other")
    assert store.apps.containers([db.id, web.id, 99]) == {
        web.id: f"mist-app-{web.id}",
        db.id: "postgres-1",
    }
    assert store.apps.containers([]) == {}


def test_application_of_a_container(store: Store) -> None:
    """It is found by the name that it was given, and by the usual name."""
    usual = store.apps.add("usual")
    first, _ = (store.apps.add(name, container="web") for name in ("first", "second"))
    odd = store.apps.add("odd", container="mist-app-01")
    names = ("web", f"mist-app-{usual.id}", "mist-app-01", f"mist-app-{first.id}", "mist-app-", "x")
    found = [store.apps.by_container(name) for name in names]
    assert found == [first, usual, odd, None, None, None]
