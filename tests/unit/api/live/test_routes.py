"""Tests of the WebSocket routes: access, subscriptions and endings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from api.live.channel import Channel, SubscribeOptions
from api.live.deployment import DeploymentLog
from api.live.hub import Hub
from api.live.routes import Live, add_routes
from api.live.sessions import SessionWatch
from api.websocket.connection import Connection
from mist import close_codes
from mist.errors import StoreError
from mist.paths import Paths
from mist.settings import Settings, StreamSettings
from mist.store import App, Store, User
from tests.support.http_api import Api
from tests.support.store import password_hash
from tests.unit.api.live.test_channel import Client

LOGS, DEPLOYMENT, METRICS = "/ws/container/logs", "/ws/deployment/logs", "/ws/metrics"


class Recorder:
    """A listener that records which clients come and go."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.added: list[tuple[Any, ...]] = []
        self.removed: list[object] = []

    def add(self, connection: Connection, *options: SubscribeOptions) -> None:
        """Record the client's arrival."""
        self.added.append((connection, *options))

    def remove(self, connection: Connection) -> None:
        """Record the client's departure."""
        self.removed.append(connection)


class FakeHub:
    """A hub without a bus."""

    def __init__(self) -> None:
        self.listeners: dict[bytes, Recorder] = {}
        self.left: list[bytes] = []

    def open(self, topic: bytes, make: Callable[[], object]) -> Recorder:
        """Return the topic's listener and record what the route would make."""
        return self.listeners.setdefault(topic, Recorder(type(make())))

    def leave(self, topic: bytes) -> None:
        """Record the topic."""
        self.left.append(topic)


class Stage:
    """The application with its WebSocket routes; ``accepted`` holds the open connections."""

    def __init__(self, api: Api, paths: Paths, **limits: int) -> None:
        self.api = api
        self.hub = FakeHub()
        self.store = api.services.store
        self.sessions = SessionWatch(self.store, 60.0)
        self.accepted: list[Client] = []
        settings = Settings(streams=StreamSettings(**limits))
        hub = cast(Hub, self.hub)
        add_routes(api.app, Live(self.store, settings, paths, hub, self.sessions))

    def ask(self, path: str, user: User | None, **options: Any) -> Any:
        """Return the answer to a handshake."""
        extras = {"mist.accept": self._accept} | options.pop("extras", {})
        return self.api.ask("GET", path, user, extras=extras, **options)

    def _accept(self) -> Client:
        self.accepted.append(Client())
        return self.accepted[-1]


@pytest.fixture
def stage(api: Api, paths: Paths) -> Stage:
    """The application with its routes."""
    return Stage(api, paths, max_clients=2)


@pytest.fixture
def paths(api: Api) -> Paths:
    """The application's directories."""
    return api.services.paths


@pytest.fixture
def app(store: Store) -> App:
    """The application with id 1, and its deployment with the same id."""
    app = store.apps.add("shop", git_url="https://h/r.git")
    store.deployments.create(app.id, "ada@example.com")
    return app


@pytest.mark.parametrize(
    ("path", "topic", "kind", "options"),
    [
        (
            f"{LOGS}?appId=1",
            b"container/1/log",
            Channel,
            [SubscribeOptions(StreamSettings().tail_lines)],
        ),
        (f"{LOGS}?appId=1&tail=7", b"container/1/log", Channel, [SubscribeOptions(7)]),
        (
            f"{LOGS}?appId=1&since=2026-01-02T03:04:05%2B01:00&stopped=1",
            b"container/1/log",
            Channel,
            [SubscribeOptions(None, "2026-01-02T02:04:05.000000000Z", True)],
        ),
        (
            f"{LOGS}?container=redis&tail=7&pos=1",
            b"container/name:redis/log",
            Channel,
            [SubscribeOptions(7, positions=True)],
        ),
        (f"{LOGS}?container=mist-app-1&tail=7", b"container/1/log", Channel, [SubscribeOptions(7)]),
        (f"{DEPLOYMENT}?deploymentId=1", b"deployment/1/log", DeploymentLog, []),
        (METRICS, b"metrics/system", Channel, [SubscribeOptions(1)]),
        (f"{METRICS}?history=0", b"metrics/system", Channel, [SubscribeOptions(1)]),
        (f"{METRICS}?history=30", b"metrics/system", Channel, [SubscribeOptions(30)]),
    ],
)
def test_a_route_opens_its_topic(
    stage: Stage, ada: User, app: App, path: str, topic: bytes, kind: type, options: list[object]
) -> None:
    """A route opens the topic from its query; closing the connection releases everything."""
    stage.ask(path, ada)
    (client,) = stage.accepted
    (found,) = stage.hub.listeners.items()
    assert (found[0], found[1].kind) == (topic, kind)
    assert found[1].added == [(client, *options)]
    assert stage.sessions.connections == 1
    connection = cast(Connection, client)
    assert connection.on_close is not None
    connection.on_close(connection)
    assert found[1].removed == [client]
    assert stage.hub.left == [topic]
    assert stage.sessions.connections == 0


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (LOGS, "appId is missing: add ?appId=… to the address"),
        (f"{LOGS}?appId=", "appId must be a positive integer, not ''"),
        (f"{LOGS}?appId=x", "appId must be a positive integer, not 'x'"),
        (f"{LOGS}?appId=0", "appId must be from 1 to"),
        (f"{LOGS}?appId=%C2%B2", "appId must be a positive integer, not '²'"),
        (f"{LOGS}?appId=" + "9" * 100, "appId must be from 1 to"),
        (f"{LOGS}?container=", "container: '' is not a container name"),
        (f"{LOGS}?container=a", "container: 'a' is not a container name"),
        (f"{LOGS}?container=../x", "container: '../x' is not a container name"),
        (f"{LOGS}?container=caf%C3%A9", "container: 'café' is not a container name"),
        (f"{LOGS}?container=redis%0A", "container: 'redis\\n' is not a container name"),
        (f"{LOGS}?container={'x' * 129}", "container: 'xxx"),
        (f"{LOGS}?container=redis&appId=1", "appId and container exclude each other; give one"),
        (f"{LOGS}?container=redis&tail=x", "tail must be an integer of 0 or more, not 'x'"),
        (f"{LOGS}?appId=1&tail=-1", "tail must be an integer of 0 or more, not '-1'"),
        (f"{LOGS}?appId=1&since=now", "since: "),
        (f"{LOGS}?appId=1&stopped=yes", "stopped must be 0 or 1, not 'yes'"),
        (DEPLOYMENT, "deploymentId is missing: add ?deploymentId=… to the address"),
        (f"{METRICS}?history=100000000", "history must be from 0 to"),
    ],
)
def test_a_wrong_query_is_refused(stage: Stage, ada: User, path: str, text: str) -> None:
    """An invalid query is refused with 400 and the reason before the upgrade."""
    answer = stage.ask(path, ada)
    assert answer.status_code == 400
    assert answer.json["message"].startswith(text)
    assert not stage.accepted


@pytest.mark.parametrize("path", [f"{LOGS}?appId=1", f"{DEPLOYMENT}?deploymentId=1", METRICS])
class TestHandshake:
    """Handshakes that every route refuses, before or after the upgrade."""

    def test_without_a_session(self, stage: Stage, app: App, path: str) -> None:
        """A request without a session is answered with 401."""
        assert stage.ask(path, None).status_code == 401
        assert not stage.accepted

    def test_of_another_origin(self, stage: Stage, ada: User, app: App, path: str) -> None:
        """A request from another origin is answered with 403 unless the settings allow it."""
        origin = {"Origin": "https://evil.example.com"}
        assert stage.ask(path, ada, headers=origin).status_code == 403
        assert not stage.accepted
        stage.ask(path, ada, headers={"Origin": "https://dashboard.example.com"})
        assert len(stage.accepted) == 1

    def test_that_is_none(self, stage: Stage, ada: User, app: App, path: str) -> None:
        """An invalid handshake is answered with what is wrong and what would be right."""
        problem = ("426 Upgrade Required", "this is a WebSocket")
        answer = stage.ask(path, ada, extras={"mist.websocket_problem": problem})
        assert answer.status == "426 Upgrade Required"
        assert answer.json["message"] == "this is a WebSocket"
        assert answer.headers["Upgrade"] == "websocket"
        assert not stage.accepted

    def test_of_one_too_many(self, stage: Stage, ada: User, app: App, path: str) -> None:
        """A connection above the limit is told so after the upgrade, and leaves no trace."""
        for _ in range(3):
            stage.ask(path, ada)
        assert [client.code for client in stage.accepted] == [None, None, 1013]
        (message,) = stage.accepted[2].received
        assert message["data"]["message"] == "Too many clients"
        assert stage.sessions.connections == 2


@pytest.mark.parametrize(
    ("path", "what"),
    [(f"{LOGS}?appId=1", "Application"), (f"{DEPLOYMENT}?deploymentId=1", "Deployment")],
)
class TestPermission:
    """Users cannot tell a missing object from one that they may not see."""

    def refusal(self, stage: Stage, path: str, user: User) -> tuple[str, int | None]:
        """Return the text and the code of the refusal."""
        stage.ask(path, user)
        client = stage.accepted[-1]
        assert not stage.hub.listeners
        (message,) = client.received
        return message["data"]["message"], client.code

    def test_absent(self, stage: Stage, ada: User, bob: User, path: str, what: str) -> None:
        """Only an admin learns that an object does not exist."""
        found = self.refusal(stage, path, ada)
        assert found == (f"{what} not found", close_codes.NOT_FOUND)
        found = self.refusal(stage, path, bob)
        assert found == ("Permission denied", close_codes.PERMISSION_DENIED)

    def test_grant(self, stage: Stage, bob: User, app: App, path: str, what: str) -> None:
        """A grant lets a user in."""
        found = self.refusal(stage, path, bob)
        assert found == ("Permission denied", close_codes.PERMISSION_DENIED)
        stage.store.apps.grant(app.id, bob.id)
        stage.ask(path, bob)
        assert stage.accepted[-1].code is None
        assert len(stage.hub.listeners) == 1


class TestAnyContainer:
    """Only admins may name a container."""

    @pytest.mark.parametrize("name", ["redis", "mist-app-1", "web"])
    def test_users(self, stage: Stage, bob: User, app: App, name: str) -> None:
        """A user is told the same about every name, even of an application of theirs."""
        stage.store.apps.add("watched", container="web")
        stage.store.apps.grant(app.id, bob.id)
        stage.ask(f"{LOGS}?container={name}", bob)
        (client,) = stage.accepted
        assert not stage.hub.listeners
        (message,) = client.received
        assert (message["data"]["message"], client.code) == ("Permission denied", 4403)

    def test_without_a_session(self, stage: Stage) -> None:
        """A request without a session is answered with 401."""
        assert stage.ask(f"{LOGS}?container=redis", None).status_code == 401

    @pytest.mark.parametrize("name", ["redis", "mist-app-1"])
    def test_admin_no_more(
        self, stage: Stage, store: Store, ada: User, bob: User, app: App, name: str
    ) -> None:
        """An admin who becomes a user loses these streams, and others stay open."""
        store.apps.grant(app.id, ada.id)
        for path in (f"{LOGS}?container={name}", f"{LOGS}?appId=1"):
            stage.ask(path, ada)
        stage.sessions.check()
        store.users.set_role(bob.id, "admin")
        store.users.set_role(ada.id, "user")
        stage.sessions.check()
        named, granted = stage.accepted
        assert (named.code, granted.code) == (close_codes.PERMISSION_DENIED, None)


class TestPlaces:
    """A user and an address have a part of the places, whatever the routes."""

    def codes(self, stage: Stage) -> list[int | None]:
        """Return the close codes of all clients."""
        return [client.code for client in stage.accepted]

    def test_of_a_user(self, api: Api, paths: Paths, ada: User, bob: User, app: App) -> None:
        """The addresses do not matter, an admin has no such limit, and places come back."""
        stage = Stage(api, paths, max_per_user=2)
        stage.store.apps.grant(app.id, bob.id)
        for number, path in enumerate((f"{LOGS}?appId=1", f"{DEPLOYMENT}?deploymentId=1", METRICS)):
            stage.ask(path, bob, remote_addr=f"192.0.2.{number}")
        assert self.codes(stage) == [None, None, 1013]
        (message,) = stage.accepted[2].received
        text = "You have 2 open streams; close some of them"
        assert (message["type"], message["data"]["message"]) == ("error", text)
        for _ in range(3):
            stage.ask(METRICS, ada)
        assert self.codes(stage)[3:] == [None, None, None]
        first = cast(Connection, stage.accepted[0])
        assert first.on_close is not None
        first.on_close(first)
        stage.ask(METRICS, bob)
        stage.ask(METRICS, bob)
        assert self.codes(stage)[6:] == [None, 1013]

    @pytest.mark.parametrize(
        ("addresses", "other"),
        [
            (["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"], "192.0.2.2"),
            (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"], "2001:db8:0:1::1"),
        ],
    )
    @pytest.mark.parametrize("behind_a_proxy", [False, True])
    def test_of_an_address(
        self,
        api: Api,
        paths: Paths,
        ada: User,
        bob: User,
        addresses: list[str],
        other: str,
        behind_a_proxy: bool,
    ) -> None:
        """An IPv6 network counts as one address; a trusted proxy tells the address."""
        stage = Stage(api, paths, max_per_address=2)
        for address, user in zip([*addresses, other], (ada, bob, ada, ada), strict=True):
            headers = {"X-Forwarded-For": address} if behind_a_proxy else {}
            remote = "127.0.0.1" if behind_a_proxy else address
            stage.ask(METRICS, user, headers=headers, remote_addr=remote)
        assert self.codes(stage) == [None, None, 1013, None]
        (message,) = stage.accepted[2].received
        text = "Your network has 2 open streams; close some of them"
        assert (message["type"], message["data"]["message"]) == ("error", text)

    @pytest.mark.parametrize("forwarded", [None, "", "unknown"])
    def test_of_a_proxy_that_names_no_client(
        self, api: Api, paths: Paths, ada: User, forwarded: str | None
    ) -> None:
        """Its address stands for many clients; another's address never does."""
        stage = Stage(api, paths, max_per_address=1)
        headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
        for remote in ("127.0.0.1", "192.0.2.1"):
            for _ in range(2):
                stage.ask(METRICS, ada, headers=headers, remote_addr=remote)
        assert self.codes(stage) == [None, None, None, 1013]


class TestSessions:
    """Streams end with the session that opened them."""

    def test_revoked(self, stage: Stage, ada: User, bob: User) -> None:
        """A new password closes the streams of its user and of no other user."""
        stage.ask(METRICS, ada)
        stage.ask(METRICS, bob)
        stage.sessions.check()
        assert [client.code for client in stage.accepted] == [None, None]
        stage.store.users.set_password(bob.id, password_hash())
        stage.sessions.check()
        assert [client.code for client in stage.accepted] == [None, close_codes.SESSION_EXPIRED]

    def test_removed(self, stage: Stage, ada: User, bob: User, app: App) -> None:
        """Streams of an application that is gone say so, unlike those of a withdrawn right."""
        other = stage.store.apps.add("other")
        for each in (app, other):
            stage.store.apps.grant(each.id, bob.id)
        stage.ask(f"{DEPLOYMENT}?deploymentId=1", ada)
        stage.ask(f"{LOGS}?appId={other.id}", bob)
        stage.store.apps.request_removal(app.id, "ada")
        stage.sessions.check()
        assert [client.code for client in stage.accepted] == [None, None]
        stage.store.apps.remove(app.id)
        stage.store.apps.revoke(other.id, bob.id)
        stage.sessions.check()
        codes = [close_codes.NOT_FOUND, close_codes.PERMISSION_DENIED]
        assert [client.code for client in stage.accepted] == codes
        texts = [client.received[-1]["data"]["message"] for client in stage.accepted]
        assert texts == ["The application was removed", "Permission denied"]

    def test_being_removed(self, stage: Stage, ada: User, app: App) -> None:
        """The log of an application that is being removed is refused to new clients."""
        stage.store.apps.request_removal(app.id, "ada")
        stage.ask(f"{LOGS}?appId=1", ada)
        assert stage.accepted[0].code == close_codes.NOT_FOUND
        assert not stage.hub.listeners

    def test_store_away(self, stage: Stage, ada: User) -> None:
        """Streams stay open while the store is unavailable."""
        stage.ask(METRICS, ada)
        database = stage.api.services.paths.database
        stage.store.close()
        for file in database.parent.glob("mist.db*"):
            file.unlink()
        with pytest.raises(StoreError):
            stage.store.users.all()
        stage.sessions.check()
        assert stage.accepted[0].code is None
