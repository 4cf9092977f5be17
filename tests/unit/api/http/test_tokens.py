"""Tests of the tokens of programs."""

from __future__ import annotations

import time
from typing import Any

import pytest
from msgspec import structs

from api.http.access import still_permitted
from mist.accounts import access_tokens, sessions
from mist.accounts.access_tokens import NewToken
from mist.errors import Conflict, NotLoggedIn, StoreError, UsageError
from mist.settings import AuthSettings
from mist.store import Store, User
from mist.store.tokens import Tokens
from tests.support.http_api import SETTINGS, Api
from tests.support.store import add_user

AUTH = AuthSettings(tokens_per_user=3)


def _make(store: Store, user: User, **fields: Any) -> str:
    return access_tokens.create(store, AUTH, user, NewToken("ci", **fields)).text


def _ask(api: Api, token: str, path: str = "/api/apps", method: str = "GET", **options: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} | options.pop("headers", {})
    return api.ask(method, path, headers=headers, **options)


def test_a_token_is_made_over_http(api: Api, bob: User) -> None:
    """The answer contains the token once; the list never does, and the store has a hash."""
    made = api.ask("POST", "/api/tokens", bob, json={"name": "ci", "expires": "90d"})
    assert made.status_code == 201
    text = made.json["data"]["token"]
    assert _ask(api, text).status_code == 200
    listed = api.ask("GET", "/api/tokens", bob)
    assert text not in listed.text
    (token,) = listed.json["data"]
    assert (token["name"], token["user"], token["right"]) == ("ci", bob.email, None)
    assert token["last_used_at"] is not None
    file = api.services.paths.database
    for path in (file, file.with_name(f"{file.name}-wal")):
        assert not path.exists() or text.encode() not in path.read_bytes()
    assert api.ask("DELETE", f"/api/tokens/{token['id']}", bob).status_code == 200
    refused = _ask(api, text)
    assert refused.status_code == 401
    assert "revoked" in refused.json["message"]
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_expires(
    api: Api, bob: User, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says when it expired; the next new token removes it."""
    text = _make(store, bob, expires="1h")
    later = time.time_ns() + 3_601 * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    answer = _ask(api, text)
    assert answer.status_code == 401
    assert "'ci' expired at" in answer.json["message"]
    _make(store, bob)
    assert len(store.tokens.of_user(bob.id)) == 1


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer x", "bearer mist_x", "Bearer é"])
def test_a_wrong_token_is_refused_even_with_a_session(api: Api, bob: User, header: str) -> None:
    """A request with a token never falls back on the cookie."""
    assert api.ask("GET", "/api/apps", bob, headers={"Authorization": header}).status_code == 401


def test_another_scheme_is_for_a_proxy(api: Api, bob: User) -> None:
    """A proxy's own password does not replace the session."""
    headers = {"Authorization": "Basic YTpi"}
    assert api.ask("GET", "/api/apps", bob, headers=headers).status_code == 200
    assert api.ask("GET", "/api/apps", headers=headers).status_code == 401


def test_a_token_has_no_origin(api: Api, ada: User, store: Store) -> None:
    """A program may send any Origin; a session may not."""
    headers = {"Origin": "https://evil.example.com"}
    token = _make(store, ada)
    assert (
        _ask(api, token, "/api/apps", "POST", json={"name": "a"}, headers=headers).status_code
        == 201
    )
    assert api.ask("POST", "/api/apps", ada, json={"name": "b"}, headers=headers).status_code == 403


def test_limits_take_rights_away(api: Api, ada: User, store: Store) -> None:
    """A token of an admin with limits is no admin, and has no more than it names."""
    web, other = (store.apps.add(name, git_url="https://h/r") for name in ("web", "other"))
    viewer = _make(store, ada, right="viewer")
    deployer = _make(store, ada, apps=("web",))
    assert [app["name"] for app in _ask(api, deployer).json["data"]] == ["web"]
    assert [app["right"] for app in _ask(api, viewer).json["data"]] == ["viewer", "viewer"]
    assert _ask(api, deployer, f"/api/apps/{other.id}").status_code == 403
    assert _ask(api, viewer, f"/api/apps/{web.id}/deployments", "POST").status_code == 403
    assert _ask(api, deployer, f"/api/apps/{web.id}/deployments", "POST").status_code == 201
    for token in (viewer, deployer):
        assert _ask(api, token, "/api/users").status_code == 403
        assert _ask(api, token, "/api/tokens").status_code == 403
        # Whether an application exists is for those to know who may see all.
        assert _ask(api, token, "/api/apps/99").status_code == 403


def test_a_token_is_never_more_powerful_than_its_user(api: Api, bob: User, store: Store) -> None:
    """It loses what its user loses, at once."""
    web = store.apps.add("web", git_url="https://h/r")
    store.apps.grant(web.id, bob.id, "viewer")
    token = _make(store, bob, apps=(web.id,), right="deployer")
    assert _ask(api, token, f"/api/apps/{web.id}").json["data"]["right"] == "viewer"
    assert _ask(api, token, f"/api/apps/{web.id}/deployments", "POST").status_code == 403
    store.apps.revoke(web.id, bob.id)
    assert _ask(api, token, f"/api/apps/{web.id}").status_code == 403
    store.users.set_role(add_user(store, "ada@example.com", "admin").id, "admin")
    store.users.remove(bob.id)
    assert _ask(api, token).status_code == 401


def test_a_token_makes_no_token_and_no_password(api: Api, ada: User, store: Store) -> None:
    """Revoking a token that leaked ends all that it allowed."""
    token = _make(store, ada)
    assert _ask(api, token, "/api/tokens", "POST", json={"name": "x"}).status_code == 403
    body = {"old_password": "x", "new_password": "y"}
    assert _ask(api, token, "/api/auth/password", "POST", json=body).status_code == 403
    assert _ask(api, token, "/api/tokens").status_code == 200


def test_others_tokens_are_the_admins_to_see(api: Api, ada: User, bob: User, store: Store) -> None:
    """A user sees and revokes only the user's own; an admin may make one for another user."""
    made = api.ask("POST", "/api/tokens", ada, json={"name": "bot", "user": bob.email})
    assert (made.status_code, made.json["data"]["user"]) == (201, bob.email)
    own = api.ask("POST", "/api/tokens", ada, json={"name": "own"}).json["data"]
    assert [each["name"] for each in api.ask("GET", "/api/tokens", bob).json["data"]] == ["bot"]
    assert len(api.ask("GET", "/api/tokens", ada).json["data"]) == 2
    assert api.ask("DELETE", f"/api/tokens/{own['id']}", bob).status_code == 403
    assert api.ask("DELETE", "/api/tokens/99", bob).status_code == 403
    assert api.ask("DELETE", "/api/tokens/99", ada).status_code == 404
    named = {"name": "x", "user": ada.email}
    assert api.ask("POST", "/api/tokens", bob, json=named).status_code == 403


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "not a name for a token"),
        ({"name": "a\nb"}, "not a name for a token"),
        ({"name": "x" * 65}, "not a name for a token"),
        ({"apps": ()}, "no application"),
        ({"apps": (99,)}, "no application '99'"),
        ({"apps": ("hidden",)}, "no application 'hidden' that bob@example.com may see"),
        ({"expires": "0d"}, "lifetime"),
        ({"expires": "90"}, "lifetime"),
        ({"expires": "999999w"}, "lifetime"),
        ({"expires": "soon"}, "not 'soon'"),
    ],
)
def test_a_token_that_cannot_be_made(
    store: Store, bob: User, fields: dict[str, Any], words: str
) -> None:
    """The reason names the value."""
    store.apps.add("hidden")
    with pytest.raises(UsageError, match=words):
        access_tokens.create(store, AUTH, bob, NewToken(**{"name": "ci"} | fields))


def test_tokens_are_bounded(store: Store, bob: User) -> None:
    """A user has at most ``auth.tokens_per_user``."""
    for _ in range(3):
        _make(store, bob)
    with pytest.raises(Conflict, match="tokens_per_user"):
        _make(store, bob)


def test_a_use_is_no_write(store: Store, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last use is recorded once a minute, and a full disk locks no one out."""
    text, written = _make(store, bob), []
    monkeypatch.setattr(Tokens, "note_use", lambda _self, *use: written.append(use))
    for _ in range(3):
        access_tokens.identify(store, AUTH, text)
    assert len(written) == 3  # nothing was recorded
    monkeypatch.undo()
    access_tokens.identify(store, AUTH, text)
    monkeypatch.setattr(Tokens, "note_use", lambda _self, *use: written.append(use))
    access_tokens.identify(store, AUTH, text)
    assert len(written) == 3

    def fail(_self: Tokens, *_use: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(Tokens, "note_use", fail)
    exact = structs.replace(AUTH, token_used_seconds=0)
    assert access_tokens.identify(store, exact, text).user.id == bob.id


def test_a_revoked_token_ends_what_it_began(store: Store, bob: User) -> None:
    """Identities of revoked and expired tokens are over; a new password ends none."""
    tokens = [_make(store, bob) for _ in range(2)]
    both = [sessions.identify_token(store, AUTH, text) for text in tokens]
    store.users.set_password(bob.id, "x")
    assert sessions.ended(store, both) == set()
    assert both[0].token is not None
    store.tokens.remove(both[0].token)
    assert sessions.ended(store, both) == {both[0]}
    with pytest.raises(NotLoggedIn):
        sessions.identify_token(store, AUTH, tokens[0])


def test_a_long_answer_depends_on_the_role_of_now(store: Store, ada: User, bob: User) -> None:
    """An admin who no longer is one may not go on reading a container's log."""
    add_user(store, "root@example.com", "admin")
    web = store.apps.add("web")
    identity = sessions.identify_token(store, SETTINGS.auth, _make(store, ada))
    assert still_permitted(store, identity, None)
    assert still_permitted(store, identity, web.id)
    store.users.set_role(ada.id, "user")
    assert not still_permitted(store, identity, None)
    assert not still_permitted(store, identity, web.id)
    store.apps.grant(web.id, ada.id, "viewer")
    assert still_permitted(store, identity, web.id)


def test_ids_are_not_used_again(store: Store, bob: User) -> None:
    """The id of a revoked token is never given to another one."""
    first = access_tokens.create(store, AUTH, bob, NewToken("a")).token
    store.tokens.remove(first.id)
    assert access_tokens.create(store, AUTH, bob, NewToken("b")).token.id > first.id
