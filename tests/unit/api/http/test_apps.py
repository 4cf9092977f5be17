"""Tests of the applications' HTTP resources."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from mist.errors import StoreError
from mist.store import Store, User
from mist.store.apps import Apps
from tests.support.http_api import Api


def test_an_admin_adds_an_application(api: Api, ada: User, store: Store) -> None:
    """The answer contains the application without the values of its environment."""
    body = {"name": "web", "git_url": "https://ada:secret@h/r.git", "env": {"KEY": "secret"}}
    answer = api.ask("POST", "/api/apps", ada, json=body)
    assert answer.status_code == 201
    assert answer.json["data"]["container"] == f"mist-app-{answer.json['data']['id']}"
    assert answer.json["data"]["git_url"] == "https://h/r.git"
    assert answer.json["data"]["env"] == ["KEY"]
    assert "secret" not in answer.text
    added = store.apps.by_name("web")
    assert added is not None
    assert added.env == {"KEY": "secret"}


def test_a_project_is_made_when_it_is_named(api: Api, ada: User, store: Store) -> None:
    """Naming a project creates it unless it exists."""
    for name in ("web", "api"):
        api.ask("POST", "/api/apps", ada, json={"name": name, "project": "shop"})
    project = store.projects.by_name("shop")
    assert project is not None
    assert {app.project_id for app in store.apps.all()} == {project.id}


def test_only_an_admin_may_add(api: Api, bob: User) -> None:
    """Only an admin may add an application, because it can show any container's log."""
    answer = api.ask("POST", "/api/apps", bob, json={"name": "web"})
    assert answer.status_code == 403


def test_a_name_is_taken_once(api: Api, ada: User, store: Store) -> None:
    """Adding an application under a taken name is answered with 409."""
    store.apps.add("web")
    answer = api.ask("POST", "/api/apps", ada, json={"name": "web"})
    assert (answer.status_code, answer.json["success"]) == (409, False)
    assert "already" in answer.json["message"]


def test_two_applications_deploy_to_no_container(api: Api, ada: User) -> None:
    """Two applications cannot deploy to one container, but both may show its log."""
    answers = [
        api.ask("POST", "/api/apps", ada, json={"name": name, "container": "box", **more})
        for name, more in (
            ("web", {"git_url": "https://example.com/web"}),
            ("api", {"git_url": "https://example.com/api"}),
            ("log", {}),
        )
    ]
    assert [answer.status_code for answer in answers] == [201, 409, 201]
    assert "already deployed by web" in answers[1].json["message"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "missing required field `name`"),
        ("{", "not valid JSON"),
        ("[]", "Expected `object`"),
        ("\xff", "not valid JSON"),
        ("[" * 2000, "Expected `object`"),
        ('{"name": 5}', "Expected `str`, got `int` - at `$.name`"),
        ('{"name": "web", "colour": "red"}', "unknown field `colour`"),
        ('{"name": "web", "port": "80"}', "at `$.port`"),
        ('{"name": "web", "port": 1e99}', "at `$.port`"),
        ('{"name": "web", "port": 70000}', "from 1 to 65535"),
        ('{"name": "a b"}', "not a valid application name"),
        ('{"name": "17"}', "not a valid application name"),
        ('{"name": "web", "container": "-f"}', "not a container name"),
        ('{"name": "web", "git_url": "ext::sh -c id"}', "Git URL"),
        ('{"name": "web", "branch": "main"}', "a branch needs a Git URL"),
        ('{"name": "web", "dockerfile": "../Dockerfile"}', "inside the repository"),
        ('{"name": "web", "env": {"A B": ""}}', "not a variable name"),
        ('{"name": "web", "env": {"A": 1}}', "at `$.env[...]`"),
    ],
)
def test_a_body_that_is_wrong_says_where(api: Api, ada: User, body: str, words: str) -> None:
    """An invalid body is answered with 400, naming the field and the reason."""
    answer = api.ask("POST", "/api/apps", ada, body=body.encode("latin-1"))
    assert (answer.status_code, answer.json["success"]) == (400, False)
    assert words in answer.json["message"]


def test_a_body_has_a_size(api: Api, ada: User) -> None:
    """A body that is too large is answered with 413, and the connection is closed."""
    body = b'{"name": "' + b"x" * 3_000 + b'"}'
    announced = api.ask("POST", "/api/apps", ada, body=body)
    counted = api.ask("POST", "/api/apps", ada, body=body, extras={"CONTENT_LENGTH": ""})
    for answer in (announced, counted):
        assert answer.status_code == 413
        assert "2048 bytes" in answer.json["message"]
        assert answer.headers["Connection"] == "close"


def test_a_list_has_what_the_user_may_see(api: Api, ada: User, bob: User, store: Store) -> None:
    """A user lists the applications that the user may see; an admin lists all."""
    web, _ = store.apps.add("web"), store.apps.add("api")
    store.apps.grant(web.id, bob.id)
    assert [app["name"] for app in api.ask("GET", "/api/apps", bob).json["data"]] == ["web"]
    assert len(api.ask("GET", "/api/apps", ada).json["data"]) == 2
    assert api.ask("GET", "/api/apps").status_code == 401


def test_one_application_is_shown_to_whom_it_may(api: Api, bob: User, store: Store) -> None:
    """A user without access cannot tell whether an application exists."""
    web, other = store.apps.add("web"), store.apps.add("other")
    store.apps.grant(web.id, bob.id)
    assert api.ask("GET", f"/api/apps/{web.id}", bob).json["data"]["name"] == "web"
    refused = [api.ask("GET", f"/api/apps/{number}", bob) for number in (other.id, 99, "x")]
    assert {(each.status_code, each.json["message"]) for each in refused} == {
        (403, "Permission denied")
    }


@pytest.mark.parametrize(
    "text", ["0", "-1", "1.0", "99", "x", "%00", "%F0%9F%92%A9", str(2**63), "9" * 500, "１"]
)
def test_an_admin_is_told_what_is_not_there(api: Api, ada: User, text: str) -> None:
    """An admin gets 404 for an application that does not exist, whatever the id looks like."""
    answer = api.ask("GET", f"/api/apps/{text}", ada)
    assert (answer.status_code, answer.json["message"]) == (404, "Application not found")


def test_an_error_of_the_store_names_no_path(
    api: Api, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the service keeps its files is in the log, and for nobody else to know."""
    home = api.services.paths.home

    def fail(_self: Apps) -> None:
        raise StoreError(f"the store {home}/store/mist.db failed: disk I/O error")

    monkeypatch.setattr(Apps, "all", fail)
    answer = api.ask("GET", "/api/apps", ada)
    assert answer.status_code == 503
    assert answer.json["message"].endswith("/store/mist.db failed: disk I/O error")
    assert str(home) not in answer.text


class TestEdit:
    """``PATCH /api/apps/{id}``."""

    def test_every_field(self, api: Api, ada: User, store: Store) -> None:
        """The answer shows each changed field; what the body does not name stays."""
        app = store.apps.add("web", git_url="https://h/r.git", branch="main", env={"KEEP": "1"})
        changes = {
            "name": "shop",
            "git_url": "https://h/other.git",
            "branch": None,
            "dockerfile": "docker/Dockerfile",
            "port": 3000,
            "env": {"SECRET": "s3cret"},
            "restart_policy": "no",
            "project": "team",
            "volumes": ["data:/data", "conf:/etc/app:ro"],
            "labels": {"traefik.enable": "true"},
            "networks": ["front"],
            "memory": "512m",
            "cpus": 1.5,
            "command": "serve --port 3000",
            "build": {"memory": "1g", "cpus": 2},
        }
        answer = api.ask("PATCH", f"/api/apps/{app.id}", ada, json=changes)
        assert answer.status_code == 200
        assert "s3cret" not in answer.text
        shown = api.ask("GET", f"/api/apps/{app.id}", ada).json["data"]
        assert shown == answer.json["data"]
        assert shown["project_id"] == 1
        assert shown["env"] == ["KEEP", "SECRET"]
        assert shown["command"] == ["serve", "--port", "3000"]
        assert shown["build"] == {"memory": 1_073_741_824, "cpus": 2.0}
        same = ("name", "git_url", "branch", "port", "volumes", "labels", "networks", "cpus")
        assert {name: shown[name] for name in same} == {name: changes[name] for name in same}
        stored = store.apps.get(app.id)
        assert stored is not None
        assert stored.env == {"KEEP": "1", "SECRET": "s3cret"}
        assert stored.container == app.container

    def test_null_stands_for_the_default(self, api: Api, ada: User, store: Store) -> None:
        """Null resets a field, and removes a variable."""
        body = {"name": "web", "port": 80, "memory": "64m", "env": {"A": "1", "B": "2"}}
        app = api.ask("POST", "/api/apps", ada, json=body | {"volumes": ["data:/data"]}).json
        path = f"/api/apps/{app['data']['id']}"
        changes = {"port": None, "memory": None, "volumes": None, "env": {"A": None}}
        shown = api.ask("PATCH", path, ada, json=changes | {"dockerfile": None}).json["data"]
        assert (shown["port"], shown["memory"], shown["volumes"]) == (None, None, [])
        assert (shown["env"], shown["dockerfile"]) == (["B"], "Dockerfile")
        assert api.ask("PATCH", path, ada, json={"env": None}).json["data"]["env"] == []

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            ({"name": None}, 400, "`$.name`"),
            ({"name": "other"}, 409, "'other' already exists"),
            ({"colour": "red"}, 400, "unknown field `colour`"),
            ({"git_url": None}, 400, "a branch needs a Git URL"),
            ({"container": "box"}, 409, "already deployed by other"),
            ({"volumes": ["/etc:/etc"]}, 400, "deployments.host_paths"),
            ({"volumes": "data:/data"}, 400, "Expected `array"),
            ({"memory": "1k"}, 400, "at least 6m"),
            ({"memory": True}, 400, "`$.memory`"),
            ({"cpus": "2"}, 400, "`$.cpus`"),
            ({"networks": ["host"]}, 400, "not the name of a network"),
            ({"labels": {"mist.app": "7"}}, 400, "reserved"),
            ({"build": {"disk": 1}}, 400, "unknown field `disk`"),
            ({"build": {"cpus": 0}}, 400, "from 0.01"),
            ({"env": {"A B": "x"}}, 400, "not a variable name"),
            ({"project": "a b", "port": 1}, 400, "not a valid project name"),
            ({"project": "fresh", "port": 0}, 400, "from 1 to 65535"),
        ],
    )
    def test_a_wrong_change_changes_nothing(
        self, api: Api, ada: User, store: Store, body: dict[str, object], status: int, words: str
    ) -> None:
        """A wrong field is named with its value, and no other field of the body is changed."""
        app = store.apps.add("web", git_url="https://h/r.git", branch="main")
        store.apps.add("other", git_url="https://h/o.git", container="box")
        changes = {"restart_policy": "always", **body}
        answer = api.ask("PATCH", f"/api/apps/{app.id}", ada, json=changes)
        assert (answer.status_code, answer.json["success"]) == (status, False)
        assert words in answer.json["message"]
        assert store.apps.get(app.id) == app
        assert store.projects.by_name("fresh") is None

    def test_only_an_admin_may_edit_and_remove(
        self, api: Api, ada: User, bob: User, store: Store
    ) -> None:
        """A user with a grant gets 403, as does one from another origin's page."""
        app = store.apps.add("web")
        store.apps.grant(app.id, bob.id)
        for method in ("PATCH", "DELETE"):
            path = f"/api/apps/{app.id}"
            assert api.ask(method, path, json={}).status_code == 401
            assert api.ask(method, path, bob, json={"port": 1}).status_code == 403
            foreign = {"Origin": "https://evil.example"}
            assert api.ask(method, path, ada, json={}, headers=foreign).status_code == 403
            assert api.ask(method, "/api/apps/99", ada, json={}).status_code == 404
        assert store.apps.get(app.id) == app

    def test_the_container_stays_during_a_deployment(
        self, api: Api, ada: User, store: Store
    ) -> None:
        """An unfinished deployment looks for containers by the name; other fields may change."""
        app = store.apps.add("web", git_url="https://h/r.git")
        row = store.deployments.create(app.id, "ada")
        path = f"/api/apps/{app.id}"
        answer = api.ask("PATCH", path, ada, json={"container": "box"})
        assert answer.status_code == 409
        assert f"deployment {row.id} of web is not finished" in answer.json["message"]
        assert api.ask("PATCH", path, ada, json={"port": 80}).status_code == 200
        store.deployments.update(row.id, status="failed")
        changed = api.ask("PATCH", path, ada, json={"container": "box"})
        assert changed.json["data"]["container"] == "box"

    def test_of_two_edits_at_once_none_is_lost(self, api: Api, ada: User, store: Store) -> None:
        """Concurrent edits of different variables all arrive."""
        app = store.apps.add("web")

        def edit(number: int) -> int:
            body = {"env": {f"V{number}": "x"}}
            return int(api.ask("PATCH", f"/api/apps/{app.id}", ada, json=body).status_code)

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(edit, range(12))) == {200}
        after = store.apps.get(app.id)
        assert after is not None
        assert len(after.env) == 12


class TestRemoval:
    """``DELETE /api/apps/{id}`` only marks: a worker with a way to the engine does the rest."""

    def test_a_removal_cancels_and_locks(self, api: Api, ada: User, store: Store) -> None:
        """Deployments are cancelled, and the application accepts no change any more."""
        app = store.apps.add("web", git_url="https://h/r.git")
        row = store.deployments.create(app.id, "bob")
        path = f"/api/apps/{app.id}"
        answer = api.ask("DELETE", path, ada)
        said = (202, "Removal requested: web")
        assert (answer.status_code, answer.json["message"]) == said
        assert answer.json["data"]["removed_by"] == ada.email
        cancelled = store.deployments.get(row.id)
        assert cancelled is not None
        assert cancelled.cancelled_by == ada.email
        for again in (
            api.ask("PATCH", path, ada, json={"port": 1}),
            api.ask("POST", f"{path}/deployments", ada),
            api.ask("POST", f"{path}/hook", ada),
            api.ask("PUT", f"{path}/grants/{ada.id}", ada),
        ):
            assert (again.status_code, again.json["message"]) == (409, "web is being removed")
        assert api.ask("DELETE", path, ada).status_code == 202
        assert store.apps.removals() == [app.id]
        store.apps.remove(app.id)
        assert api.ask("GET", path, ada).status_code == 404
        assert store.deployments.get(row.id) is None
