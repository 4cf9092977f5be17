"""Tests of webhooks: events, signatures and replays of each provider."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from api.http.openapi.shapes import Pushed
from mist.apps import management
from mist.settings import HookSettings, Settings
from mist.store import App, Store, User
from tests.support.hooks import COMMIT, PROVIDERS, ZEROS, Request, delivery, push
from tests.support.http_api import SETTINGS, Api

REFUSED = (403, "There is no webhook here, or the signature does not match its secret")


@pytest.fixture
def app(store: Store) -> App:
    """An application whose branch is ``main``, with a webhook."""
    return _with_hook(store, store.apps.add("web", git_url="https://h/r.git", branch="main"))


def _with_hook(store: Store, app: App) -> App:
    management.new_hook(store, app)
    found = store.apps.get(app.id)
    assert found is not None
    return found


def _secret(app: App) -> str:
    assert app.hook_secret is not None
    return app.hook_secret


def _send(api: Api, app: App | int | str, request: Request, **headers: str) -> Any:
    number = app.id if isinstance(app, App) else app
    return api.simulate_post(
        f"/api/hooks/{number}", body=request.body, headers=request.headers | headers
    )


def _pending(store: Store, app: App) -> list[int]:
    return [row.id for row in store.deployments.for_app(app.id) if row.cancelled_by is None]


@pytest.mark.parametrize(
    ("provider", "form"),
    # GitLab sends JSON only.
    [
        *((name, False) for name in PROVIDERS),
        *((name, True) for name in PROVIDERS if name != "GitLab"),
    ],
)
def test_a_push_deploys_once(
    api: Api, app: App, store: Store, provider: str, *, form: bool
) -> None:
    """A push is deployed without a session; the same delivery again changes nothing."""
    first = delivery(provider, _secret(app), push(provider), form=form)
    answer = _send(api, app, first)
    assert answer.status_code == 201, answer.text
    number = answer.json["data"]["deployment_id"]
    assert answer.json["message"] == "Deployment of main queued"
    row = store.deployments.get(number)
    assert row is not None
    assert (row.created_by, row.status) == (f"{provider} webhook", "pending")
    again = _send(api, app, first)
    assert (again.status_code, again.json["data"]["deployment_id"]) == (200, number)
    for each in (answer, again):
        assert msgspec.convert(each.json["data"], Pushed, strict=True).deployment_id == number
    assert "handled before" in again.json["message"]
    assert _pending(store, app) == [number]
    assert _secret(app) not in answer.text


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_push_replaces_the_one_that_waits(
    api: Api, app: App, store: Store, provider: str
) -> None:
    """Of several pushes the newest is deployed; a running deployment and a rollback stay."""
    running = store.deployments.create(app.id, "ada").id
    store.deployments.update(running, status="building")
    rollback = store.deployments.create(app.id, "ada", rollback_to=running).id
    other = store.apps.add("other", git_url="https://h/o.git")
    others = store.deployments.create(other.id, "ada").id
    numbers: list[int] = []
    for delivered in ("1", "2", "3"):
        # Even with equal bodies, as after pushing to and fro.
        request = delivery(provider, _secret(app), push(provider), number=delivered)
        data = _send(api, app, request).json["data"]
        assert data["replaced"] == numbers[-1:]
        numbers.append(data["deployment_id"])
    assert _pending(store, app) == [numbers[-1], rollback, running]
    assert _pending(store, other) == [others]
    replaced = store.deployments.get(numbers[0])
    assert replaced is not None
    assert replaced.cancelled_by == "a newer push"


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("event", "changes", "status", "words"),
    [
        ("push", {"branch": "next"}, 202, "The branch 'next' is not 'main'"),
        ("push", {"branch": "main/x"}, 202, "The branch 'main/x' is not 'main'"),
        ("push", {"ref": "refs/tags/main"}, 202, "'refs/tags/main' is not a branch"),
        ("push", {"ref": "main"}, 202, "'main' is not a branch"),
        ("push", {"after": ZEROS}, 202, "was deleted"),
        ("push", {"after": "0" * 64}, 202, "was deleted"),
        ("push", {"after": COMMIT, "deleted": True}, 202, "was deleted"),
        ("tag_push", {}, 202, "is not a push"),
        ("issues", {}, 202, "The event 'issues' is not a push"),
        ("", {}, 202, "The event '' is not a push"),
        ("push", {"ref": 7}, 400, "Expected `str`, got `int` - at `$.ref`"),
    ],
)
def test_other_events(
    api: Api,
    app: App,
    store: Store,
    provider: str,
    event: str,
    changes: dict[str, Any],
    status: int,
    words: str,
) -> None:
    """Everything but a push of the branch is answered with a reason, and deploys nothing."""
    request = delivery(provider, _secret(app), push(provider, **changes), event=event)
    answer = _send(api, app, request)
    assert answer.status_code == status, answer.text
    if event != "tag_push":
        assert words in answer.json["message"]
    assert _pending(store, app) == []


@pytest.mark.parametrize("provider", ["GitHub", "Gitea", "Forgejo"])
def test_a_ping_is_answered(api: Api, app: App, store: Store, provider: str) -> None:
    """A ping gets 200, so that the provider shows the webhook as working."""
    payload = {"zen": "Keep it logically awesome.", "hook_id": 1}
    answer = _send(api, app, delivery(provider, _secret(app), payload, event="ping"))
    assert answer.status_code == 200
    assert "Pong" in answer.json["message"]
    assert _pending(store, app) == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_default_branch(api: Api, store: Store, provider: str) -> None:
    """Without a branch of its own, the application follows the repository's default branch."""
    app = _with_hook(store, store.apps.add("web", git_url="https://h/r.git"))

    def send(number: str, **changes: Any) -> Any:
        payload = push(provider, **changes)
        return _send(api, app, delivery(provider, _secret(app), payload, number=number))

    assert send("1", branch="trunk", default="trunk").status_code == 201
    assert send("2", branch="main", default="trunk").status_code == 202
    unknown = send("3", repository=None, project=None)
    assert unknown.status_code == 202
    assert "does not name the default branch" in unknown.json["message"]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "forgery", ["secret", "empty", "body", "no-header", "upper", "cut", "umlaut", "id"]
)
def test_a_forgery_looks_like_nothing_there(
    api: Api, app: App, store: Store, provider: str, forgery: str
) -> None:
    """Wrong signatures, applications without a webhook and unknown ones get the same answer."""
    bare = store.apps.add("bare", git_url="https://h/b.git")
    request = delivery(provider, _secret(app), push(provider))
    signature = {
        "GitHub": "X-Hub-Signature-256",
        "GitLab": "X-Gitlab-Token",
        "Gitea": "X-Gitea-Signature",
        "Forgejo": "X-Forgejo-Signature",
    }[provider]
    given = request.headers[signature]
    if forgery == "secret":
        request = delivery(provider, "guess", push(provider))
    elif forgery == "body":
        request = request._replace(body=request.body.replace(b"main", b"next"))
        if provider == "GitLab":  # its token covers no body
            request.headers[signature] = given + "x"
    elif forgery == "no-header":
        for name in [n for n in request.headers if "Signature" in n or "Token" in n]:
            del request.headers[name]
    elif forgery != "id":
        changed = {"empty": "", "upper": given.swapcase(), "cut": given[:-1], "umlaut": "ü"}
        request.headers[signature] = changed[forgery]
    targets: list[App | int | str] = [bare, 999, "0", "x", "9" * 40]
    answers = [_send(api, target, request) for target in targets]
    if forgery != "id":
        answers.append(_send(api, app, request))
    assert {(a.status_code, a.json["message"]) for a in answers} == {REFUSED}
    assert len({tuple(sorted(a.headers.items())) for a in answers}) == 1
    assert _pending(store, app) == []


def test_a_body_is_read_only_after_its_signature(api: Api, app: App) -> None:
    """A body that is no JSON gets 400 from who knows the secret, and else the usual refusal."""
    for body in (b"{", b"[]", b"\xff", b"[" * 3_000, b""):
        genuine = _send(api, app, delivery("GitHub", _secret(app), body))
        assert genuine.status_code == 400
        assert "The event is not valid" in genuine.json["message"]
        assert _send(api, app, delivery("GitHub", "guess", body)).status_code == 403


def test_a_body_has_a_size_of_its_own(api: Api, app: App) -> None:
    """An event may be larger than other bodies, but has a bound."""
    small = Settings(server=SETTINGS.server, hooks=HookSettings(body_bytes=4_096))
    bounded = api.with_(settings=small)
    fits = delivery("GitHub", _secret(app), push("GitHub", commits="x" * 3_000))
    assert _send(bounded, app, fits).status_code == 201
    large = delivery("GitHub", _secret(app), push("GitHub", commits="x" * 5_000))
    for target in (app, 999):
        answer = _send(bounded, target, large)
        assert answer.status_code == 413
        assert "4096 bytes (hooks.body_bytes)" in answer.json["message"]


def test_bodies_share_a_bound(api: Api, app: App) -> None:
    """While one large body is read, another is refused; the place is free again afterwards."""
    few = HookSettings(body_bytes=4_096, reading_bytes=6_000)
    bounded = api.with_(settings=Settings(server=SETTINGS.server, hooks=few))
    large = delivery("GitHub", _secret(app), push("GitHub", commits="x" * 3_000))
    found = []

    class Slow(io.BytesIO):
        """A body during whose arrival another one arrives."""

        def read(self, size: int | None = -1) -> bytes:
            found.append(_send(bounded, app, large).status_code)
            return super().read(size)

    extras = {"wsgi.input": Slow(large.body), "CONTENT_LENGTH": str(len(large.body))}
    path = f"/api/hooks/{app.id}"
    outer = bounded.simulate_post(path, headers=large.headers, extras=extras)
    assert (outer.status_code, found) == (201, [429])
    assert _send(bounded, app, large).status_code == 200


def test_rates_are_bounded(api: Api, app: App, store: Store) -> None:
    """Too many pushes of an application, or refusals of a network, get 429 for a while."""
    few = HookSettings(pushes=2, refusals=3)
    bounded = api.with_(settings=Settings(server=SETTINGS.server, hooks=few))

    def send(number: int, secret: str = _secret(app), client: str = "2001:db8::1") -> Any:
        request = delivery("Gitea", secret, push("Gitea"), number=str(number))
        return _send(bounded, app, request, **{"X-Forwarded-For": client})

    assert [send(n).status_code for n in range(4)] == [201, 201, 429, 429]
    assert len(store.deployments.for_app(app.id)) == 2
    assert [send(9, "guess").status_code for _ in range(4)] == [403, 403, 403, 429]
    refused = send(9, "guess")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    # Others are not locked out by it.
    assert send(9, "guess", "2001:db8:0:0:1::1").status_code == 429, "of the same network"
    assert send(9, "guess", "2001:db8:1::1").status_code == 403


def test_deliveries_are_remembered_within_bounds(store: Store, app: App) -> None:
    """The oldest deliveries are forgotten, those of other applications are not."""
    other = store.apps.add("other", git_url="https://h/o.git")
    create = store.deployments.create_pushed
    create(other.id, "x", "0", 3)
    for number in range(5):
        assert not create(app.id, "x", str(number), 3).seen
    assert create(other.id, "x", "0", 3).seen
    assert [create(app.id, "x", str(number), 3).seen for number in (4, 3, 2)] == [True] * 3
    assert not create(app.id, "x", "0", 3).seen


def test_one_delivery_at_several_workers(store: Store, app: App) -> None:
    """Requests with the same delivery at the same time add one deployment."""

    def create(_number: int) -> bool:
        return store.deployments.create_pushed(app.id, "x", "digest", 100).seen

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(8))) == [False] + [True] * 7
    assert len(store.deployments.for_app(app.id)) == 1


class TestSecret:
    """``/api/apps/{id}/hook``."""

    def test_it_is_shown_once(self, api: Api, ada: User, bob: User, store: Store) -> None:
        """An admin makes a secret, which no other answer shows, and replaces it."""
        app = store.apps.add("web", git_url="https://h/r.git", branch="main")
        path = f"/api/apps/{app.id}/hook"
        assert api.ask("POST", path, bob).status_code == 403
        made = api.ask("POST", path, ada).json["data"]
        assert made["path"] == f"/api/hooks/{app.id}"
        shown = api.ask("GET", f"/api/apps/{app.id}", ada)
        assert shown.json["data"]["hook"] is True
        assert made["secret"] not in shown.text
        old = delivery("GitHub", made["secret"], push("GitHub"))
        assert _send(api, app, old).status_code == 201
        fresh = api.ask("POST", path, ada).json["data"]["secret"]
        assert _send(api, app, old).status_code == 403
        request = delivery("GitHub", fresh, push("GitHub"), number="2")
        assert _send(api, app, request).status_code == 201
        assert api.ask("DELETE", path, ada).status_code == 200
        assert _send(api, app, request).status_code == 403
        assert api.ask("GET", f"/api/apps/{app.id}", ada).json["data"]["hook"] is False

    def test_without_a_repository(self, api: Api, ada: User, store: Store) -> None:
        """An application that is only watched has no webhook."""
        app = store.apps.add("web")
        answer = api.ask("POST", f"/api/apps/{app.id}/hook", ada)
        assert answer.status_code == 409
        assert "no Git repository" in answer.json["message"]

    def test_a_removed_application(self, api: Api, app: App, store: Store) -> None:
        """An application that is being removed is not deployed any more."""
        store.apps.request_removal(app.id, "ada")
        answer = _send(api, app, delivery("GitHub", _secret(app), push("GitHub")))
        assert (answer.status_code, answer.json["message"]) == (409, "web is being removed")
