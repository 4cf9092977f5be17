"""Tests of accounts, grants and passwords over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from mist.accounts import passwords, tokens
from mist.accounts.first_admin import ensure_admin
from mist.store import Store, User
from tests.support.http_api import SECRET, Api
from tests.support.store import PASSWORD, add_user

NEW = "four other pass words"


def _cookie(answer: Any) -> dict[str, str]:
    return {"Cookie": f"mist_token={answer.cookies['mist_token'].value}"}


def _log_in(api: Api, email: str, password: str) -> Any:
    return api.ask("POST", "/api/auth/login", json={"email": email, "password": password})


def _change(api: Api, old: str, new: str = NEW, **options: Any) -> Any:
    body = {"old_password": old, "new_password": new}
    return api.ask("POST", "/api/auth/password", json=body, **options)


def test_the_first_password_must_be_replaced(api: Api, store: Store) -> None:
    """Until then every route but the ones of the sign-in answers 403 saying so."""
    first = ensure_admin(store)
    assert first is not None
    session = _log_in(api, "admin@localhost", first)
    assert session.json["data"]["must_change_password"]
    for path in ("/api/apps", "/api/users", "/api/tokens", "/api/deployments/1"):
        answer = api.ask("GET", path, headers=_cookie(session))
        assert answer.status_code == 403
        assert "one-time password" in answer.json["message"]
    assert api.ask("GET", "/api/auth/me", headers=_cookie(session)).status_code == 200
    changed = _change(api, first, headers=_cookie(session))
    assert changed.status_code == 200
    assert not changed.json["data"]["must_change_password"]
    assert api.ask("GET", "/api/users", headers=_cookie(changed)).status_code == 200
    assert api.ask("GET", "/api/users", headers=_cookie(session)).status_code == 401


def test_a_log_in_of_another_installation_needs_no_new_password(api: Api, store: Store) -> None:
    """Its issuer has checked a password that is not the one-time password of this one."""
    ensure_admin(store)
    admin = store.users.by_email("admin@localhost")
    assert admin is not None
    foreign = tokens.issue(SECRET, "another installation", admin, 1.0)
    answer = api.ask("GET", "/api/apps", headers={"Cookie": f"mist_token={foreign.text}"})
    assert answer.status_code == 200


def test_changing_a_password_ends_the_other_sessions(api: Api, bob: User) -> None:
    """The client that changed it has a new session; the old one and all others are over."""
    mine, other = (_log_in(api, bob.email, PASSWORD) for _ in range(2))
    changed = _change(api, PASSWORD, headers=_cookie(mine))
    assert changed.status_code == 200
    assert api.ask("GET", "/api/apps", headers=_cookie(changed)).status_code == 200
    for ended in (mine, other):
        assert api.ask("GET", "/api/apps", headers=_cookie(ended)).status_code == 401
    assert _log_in(api, bob.email, PASSWORD).status_code == 401
    assert _log_in(api, bob.email, NEW).status_code == 200


@pytest.mark.parametrize(
    ("old", "new", "status", "words"),
    [
        ("wrong", NEW, 403, "The old password is wrong"),
        (PASSWORD, PASSWORD, 400, "choose another"),
        (PASSWORD, "short", 400, "10 to 1024 characters"),
        (PASSWORD, "passwordpassword", 400, "too easy to guess"),
        (PASSWORD, 5, 400, "$.new_password"),
    ],
)
def test_a_change_that_is_refused(
    api: Api, bob: User, old: str, new: Any, status: int, words: str
) -> None:
    """The password stays, and the answer says why."""
    answer = _change(api, old, new, headers=_cookie(_log_in(api, bob.email, PASSWORD)))
    assert (answer.status_code, words in answer.json["message"]) == (status, True), answer.text
    assert _log_in(api, bob.email, PASSWORD).status_code == 200


def test_guessing_the_old_password_is_limited(api: Api, bob: User) -> None:
    """An open session is no way around the limit of failed log-ins."""
    headers = _cookie(_log_in(api, bob.email, PASSWORD))
    statuses = [_change(api, f"guess {i}", headers=headers).status_code for i in range(12)]
    assert statuses[0] == 403
    assert statuses[-1] == 429


def test_a_change_from_another_origin_is_refused(api: Api, bob: User) -> None:
    """The page of another origin cannot change a password."""
    headers = _cookie(_log_in(api, bob.email, PASSWORD)) | {"Origin": "https://evil.example.com"}
    assert _change(api, PASSWORD, headers=headers).status_code == 403


def test_an_admin_manages_accounts(api: Api, ada: User, store: Store) -> None:
    """Accounts are added, listed, changed and removed."""
    added = api.ask("POST", "/api/users", ada, json={"email": "Eve@example.com"})
    assert added.status_code == 201
    made_up = added.json["data"]["one_time_password"]
    session = _log_in(api, "eve@example.com", made_up)
    assert session.json["data"]["must_change_password"]
    path = f"/api/users/{added.json['data']['id']}"
    changed = api.ask("PATCH", path, ada, json={"role": "admin", "password": NEW})
    assert (changed.status_code, changed.json["data"]["role"]) == (200, "admin")
    assert api.ask("GET", "/api/auth/me", headers=_cookie(session)).status_code == 401
    assert not _log_in(api, "eve@example.com", NEW).json["data"]["must_change_password"]
    listed = api.ask("GET", "/api/users", ada)
    assert [user["email"] for user in listed.json["data"]] == ["ada@example.com", "eve@example.com"]
    assert "hash" not in listed.text
    assert api.ask("DELETE", path, ada).status_code == 200
    assert store.users.by_email("eve@example.com") is None


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/api/users", {"email": "x"}, 400, "not an email address"),
        ("POST", "/api/users", {"email": "x@y", "role": "owner"}, 400, "$.role"),
        ("POST", "/api/users", {"email": "x@y", "password": "x"}, 400, "characters"),
        ("POST", "/api/users", {"email": "ada@example.com"}, 409, "already exists"),
        ("PATCH", "/api/users/1", {}, 400, "nothing to change"),
        ("PATCH", "/api/users/1", {"password": NEW}, 409, "/api/auth/password"),
        ("PATCH", "/api/users/1", {"role": "user"}, 409, "last admin"),
        ("PATCH", "/api/users/99", {"role": "user"}, 404, "User not found"),
        ("DELETE", "/api/users/1", None, 409, "last admin"),
        ("DELETE", "/api/users/x", None, 404, "User not found"),
    ],
)
def test_accounts_that_cannot_be_changed(
    api: Api, ada: User, method: str, path: str, body: Any, status: int, words: str
) -> None:
    """A request that is refused changes nothing and says why."""
    answer = api.ask(method, path, ada, json=body)
    assert (answer.status_code, words in answer.json["message"]) == (status, True), answer.text


def test_grants(api: Api, ada: User, bob: User, store: Store) -> None:
    """A grant is given by id or address, replaced, shown and withdrawn."""
    web = store.apps.add("web")
    path = f"/api/apps/{web.id}/grants"
    assert api.ask("GET", f"{path}/{bob.id}", ada).status_code == 404
    assert api.ask("PUT", f"{path}/{bob.id}", ada).json["data"]["right"] == "deployer"
    given = api.ask("PUT", f"{path}/{bob.email}", ada, json={"right": "viewer"})
    assert given.json["data"] == {
        "app_id": web.id, "user_id": bob.id, "email": bob.email, "right": "viewer",
    }  # fmt: skip
    assert api.ask("GET", f"{path}/{bob.id}", ada).json["data"]["right"] == "viewer"
    assert api.ask("GET", path, ada).json["data"] == [given.json["data"]]
    assert api.ask("GET", "/api/apps", bob).json["data"][0]["right"] == "viewer"
    assert api.ask("DELETE", f"{path}/{bob.id}", ada).status_code == 200
    assert api.ask("DELETE", f"{path}/{bob.id}", ada).status_code == 404
    assert api.ask("GET", f"/api/apps/{web.id}", bob).status_code == 403
    assert api.ask("PUT", f"{path}/{bob.id}", ada, json={"right": "owner"}).status_code == 400
    assert api.ask("PUT", f"/api/apps/99/grants/{bob.id}", ada).status_code == 404


def test_a_viewer_is_told_what_is_missing(api: Api, bob: User, store: Store) -> None:
    """A viewer may look, and learns which right deploying needs."""
    web = store.apps.add("web", git_url="https://example.com/web")
    store.apps.grant(web.id, bob.id, "viewer")
    deployment = store.deployments.create(web.id, "ada")
    assert api.ask("GET", f"/api/deployments/{deployment.id}", bob).status_code == 200
    for path in (f"/api/apps/{web.id}/deployments", f"/api/deployments/{deployment.id}/cancel"):
        answer = api.ask("POST", path, bob)
        assert answer.status_code == 403
        assert "needs a deployer" in answer.json["message"]
    row = store.deployments.get(deployment.id)
    assert row is not None
    assert row.cancelled_by is None


def test_a_project_member_with_a_viewers_grant_still_deploys(
    api: Api, bob: User, store: Store
) -> None:
    """The stronger of the two rights counts."""
    shop = store.projects.add("shop")
    web = store.apps.add("web", project_id=shop.id)
    store.projects.add_member(shop.id, bob.id)
    store.apps.grant(web.id, bob.id, "viewer")
    assert store.apps.right(web.id, bob) == "deployer"


def test_a_made_up_password_is_one_time(store: Store) -> None:
    """A chosen password is not."""
    user = add_user(store, "eve@example.com")
    store.users.set_password(user.id, passwords.make_hash(NEW), one_time=True)
    found = store.users.get(user.id)
    assert found is not None
    assert found.one_time
