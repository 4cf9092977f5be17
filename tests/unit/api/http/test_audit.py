"""Tests of the record of changes."""

from __future__ import annotations

from typing import Any

import msgspec

from mist.settings import AuditSettings
from mist.store import Store, User
from tests.support.http_api import SETTINGS, Api
from tests.support.store import PASSWORD


def records(api: Api, admin: User, query: str = "") -> list[dict[str, Any]]:
    """Return the record as an admin sees it."""
    answer = api.ask("GET", f"/api/audit{query}", admin)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json["data"]
    return found


def test_changes_are_recorded_with_user_address_and_words(api: Api, ada: User, bob: User) -> None:
    """What changed something is recorded; questions and refused requests are not."""
    made = api.ask(
        "POST", "/api/apps", ada, json={"name": "web"}, extras={"REMOTE_ADDR": "192.0.2.7"}
    )
    assert made.status_code == 201
    api.ask("GET", "/api/apps", ada)
    api.ask("POST", "/api/apps", ada, json={"name": "web"})  # it exists
    api.ask("POST", "/api/apps", bob, json={"name": "other"})  # not his right
    api.ask("POST", "/api/auth/logout")
    api.ask("POST", "/api/auth/logout", bob)
    found = records(api, ada)
    assert [(each["by"], each["action"]) for each in found] == [
        (bob.email, "POST /api/auth/logout"),
        (ada.email, "POST /api/apps"),
    ]
    assert (found[1]["address"], found[1]["text"]) == ("192.0.2.7", made.json["message"])
    assert found[0]["at"] >= found[1]["at"]


def test_the_words_tell_what_has_changed(api: Api, ada: User, store: Store) -> None:
    """They have the names, which cannot be looked up once they are gone; and no secrets."""
    secret = "correct horse battery"
    app = store.apps.add("shop", git_url="https://h/r.git")
    for method, path, body in (
        ("POST", "/api/users", {"email": "eve@example.com", "role": "admin", "password": secret}),
        ("PATCH", "/api/users/eve@example.com", {"role": "user", "password": f"{secret} 2"}),
        ("DELETE", "/api/users/eve@example.com", None),
        ("POST", "/api/tokens", {"name": "ci"}),
        ("DELETE", "/api/tokens/1", None),
        ("POST", "/api/apps", {"name": "web"}),
        ("PATCH", f"/api/apps/{app.id}", {"env": {"KEY": secret}, "memory": "64m"}),
        ("POST", f"/api/apps/{app.id}/deployments", None),
        ("DELETE", f"/api/apps/{app.id}", None),
    ):
        assert api.ask(method, path, ada, json=body).status_code < 300
    assert [each["text"] for each in reversed(records(api, ada))] == [
        "User added: eve@example.com (admin)",
        "User changed: eve@example.com (role user, a new password)",
        "User removed: eve@example.com",
        f"Token added for {ada.email}: ci; it is not shown again",
        "Token revoked: ci",
        "Application added: web",
        "Application changed: shop (env, memory); the next deployment applies it",
        "Deployment 1 is queued",
        "Removal requested: shop",
    ]


def test_sign_ins_are_recorded_and_refused_ones_are_not(api: Api, store: Store, ada: User) -> None:
    """A stranger's attempts must not displace what users did."""
    body = {"email": ada.email, "password": "not the password"}
    assert api.ask("POST", "/api/auth/login", json=body).status_code == 401
    assert store.audit.newest(10) == []
    body["password"] = PASSWORD
    assert api.ask("POST", "/api/auth/login", json=body).status_code == 200
    [record] = store.audit.newest(10)
    assert (record.by, record.action) == (ada.email, "POST /api/auth/login")


def test_only_the_newest_are_kept(api: Api, ada: User) -> None:
    """The record is bounded, and is read in pages."""
    api = api.with_(settings=msgspec.structs.replace(SETTINGS, audit=AuditSettings(records=3)))
    for number in range(5):
        api.ask("POST", "/api/apps", ada, json={"name": f"app-{number}"})
    found = records(api, ada)
    assert [each["text"] for each in found] == [
        record["text"] for record in records(api, ada, "?limit=2")
    ] + [records(api, ada, f"?before={found[1]['id']}")[0]["text"]]
    assert len(found) == 3
    assert api.ask("GET", "/api/audit?before=x", ada).status_code == 400
    assert api.ask("GET", "/api/audit?limit=0", ada).status_code == 400


def test_only_admins_see_it(api: Api, bob: User) -> None:
    """Others learn nothing about what happens."""
    assert api.ask("GET", "/api/audit", bob).status_code == 403
    assert api.ask("GET", "/api/audit").status_code == 401


def test_a_change_is_made_even_if_it_cannot_be_recorded(api: Api, store: Store, ada: User) -> None:
    """A record that fails is logged; the answer is that of the change."""
    with store.audit._data.write() as connection:
        connection.exec_driver_sql("DROP TABLE audit")
    assert api.ask("POST", "/api/apps", ada, json={"name": "web"}).status_code == 201
