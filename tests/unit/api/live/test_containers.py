"""Tests of the containers in the web tier: the list, the figures, and who may see them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from api.live.channel import Channel, SubscribeOptions
from api.live.containers import ContainerList, ContainersResource, samples_only
from api.live.hub import Hub
from api.websocket.connection import Connection
from bus import topics
from bus.replay import Snapshot
from bus.wire import Header, Kind, Message
from mist import close_codes, messages
from mist.errors import StoreError
from mist.messages import Figures, HostContainer
from mist.paths import Paths
from mist.settings import ContainerSettings, Settings
from mist.store import App, Store, User
from tests.support.http_api import Api
from tests.unit.api.live.test_channel import Client
from tests.unit.api.live.test_routes import Stage

CONTAINERS, STATS = "/ws/containers", "/ws/container/stats"
FIGURES = Figures(1.5, 2, 3, 4.0, 5, 6, 7, 8, 9)


@pytest.fixture
def paths(api: Api) -> Paths:
    """The application's directories."""
    return api.services.paths


@pytest.fixture
def stage(api: Api, paths: Paths) -> Stage:
    """The application with its routes."""
    return Stage(api, paths)


@pytest.fixture
def app(store: Store) -> App:
    """The application with id 1."""
    return store.apps.add("shop", container="web")


def row(name: str, status: str = "Up 2 hours") -> HostContainer:
    """Return a container as the bus carries it."""
    return HostContainer(name * 9, name, "i", "running", status, None, "c", "s", None, None)


class Bench:
    """The list in a worker, with a collector that numbers its messages."""

    def __init__(self) -> None:
        self.apps: dict[str, int] = {"web": 1}
        self.fails = False
        self.list = ContainerList(Settings(), self._app_ids)
        self._seq = 0
        self.list.fill(Snapshot(topics.CONTAINERS, 1, 1, 0, []), settled=False)

    def _app_ids(self) -> dict[str, int]:
        if self.fails:
            raise StoreError("the disk is full")
        return dict(self.apps)

    def join(self) -> Client:
        """Add a client."""
        client = Client()
        self.list.add(cast(Connection, client), SubscribeOptions(tail=1))
        return client

    def put(self, kind: Kind, body: bytes, code: int = 0) -> None:
        """Deliver a live message."""
        self._seq += 1
        self.list.feed(Message(topics.CONTAINERS, Header(kind, 1, 1, self._seq, code=code), body))
        self.list.flush()

    def put_list(self, *names: str, began: str = "") -> None:
        """Deliver a list."""
        rows = [row(name) for name in names]
        self.put(Kind.STATUS, messages.containers_on_bus(rows, [began] * len(rows)))

    def put_figures(self, *names: str) -> None:
        """Deliver figures."""
        self.put(Kind.METRICS, messages.all_figures({name * 9: FIGURES for name in names}))


def seen(client: Client) -> list[Any]:
    """Return each list as pairs of name and application, and each sample as its ids."""
    return [
        [(each["name"], each["app_id"]) for each in message["data"]["containers"]]
        if message["type"] == "containers"
        else sorted(message["data"]["stats"])
        for message in client.received
    ]


def test_list_then_figures() -> None:
    """The list comes first, with the applications; a late client gets the newest of both."""
    bench = Bench()
    client = bench.join()
    bench.put_list("web", "db")
    bench.put_figures("web")
    bench.put_figures("db")
    assert seen(client) == [[("web", 1), ("db", None)], ["web" * 9], ["db" * 9]]
    assert seen(bench.join()) == [[("web", 1), ("db", None)], ["db" * 9]]
    shape = client.received[0]["data"]["containers"][0]
    assert list(shape) == list(HostContainer.__struct_fields__)
    assert list(client.received[0]) == ["type", "timestamp", "data"]


def test_application_that_is_added_or_removed() -> None:
    """The list is sent again; a store that fails changes nothing."""
    bench = Bench()
    client = bench.join()
    bench.list.reconcile()
    bench.put_list("web", "db")
    bench.apps = {"db": 2}
    bench.list.reconcile()
    bench.fails = True
    bench.list.reconcile()
    assert seen(client) == [[("web", 1), ("db", None)], [("web", None), ("db", 2)]]


def test_phrase_is_as_of_now() -> None:
    """A client that comes later reads how long the container has been up by then."""
    bench = Bench()
    bench.put_list("web", began="2020-01-01T00:00:00.000000000Z")
    (message,) = bench.join().received
    assert message["data"]["containers"][0]["status"].endswith(" years")


def test_slow_client_gets_the_newest_list() -> None:
    """What it missed is left out, but the list that it has is never an old one."""

    class Slow(Client):
        """A client whose socket is full."""

        full = False

        def flush(self) -> None:
            """Take nothing while the socket is full."""
            if not self.full:
                super().flush()

    bench = Bench()
    client = Slow()
    bench.list.add(cast(Connection, client), SubscribeOptions(tail=1))
    bench.put_list("old")
    client.full = True
    bench.put_list("new")
    for _ in range(100):
        bench.put_figures("new")
    client.full = False
    client.flush()
    assert seen(client)[:2] == [[("old", None)], [("new", None)]]
    assert len(client.received) < 60


def test_engine_that_is_away_and_comes_back() -> None:
    """Clients are closed with the reason; those who come after its return are served."""
    bench = Bench()
    client = bench.join()
    bench.put_list("web")
    bench.put(Kind.ERROR, messages.error("Docker Engine is unreachable"), 1013)
    assert (client.received[-1]["type"], client.code) == ("error", 1013)
    bench.put_list("db")
    assert seen(bench.join()) == [[("db", None)]]


def test_lost_samples_are_not_announced() -> None:
    """A later sample replaces them."""
    channel = Channel(samples_only(Settings()), Kind.METRICS)
    client = Client()
    channel.add(cast(Connection, client), SubscribeOptions(0))
    body = messages.figures(FIGURES)
    channel.feed(Message(b"stats/web/samples", Header(Kind.METRICS, 1, 1, 1), body))
    channel.feed(Message(b"stats/web/samples", Header(Kind.METRICS, 2, 2, 5), body))
    channel.flush()
    assert set(client.types()) <= {"stats"}


@pytest.mark.parametrize(
    ("path", "topic", "kind", "options"),
    [
        (CONTAINERS, topics.CONTAINERS, ContainerList, SubscribeOptions(1)),
        (f"{STATS}?container=db", b"stats/db/samples", Channel, SubscribeOptions(0)),
        (f"{STATS}?container=db&history=7", b"stats/db/samples", Channel, SubscribeOptions(7)),
        (f"{STATS}?appId=1&history=300", b"stats/web/samples", Channel, SubscribeOptions(300)),
    ],
)
def test_a_route_opens_its_topic(
    stage: Stage, ada: User, app: App, path: str, topic: bytes, kind: type, options: object
) -> None:
    """Figures always go by the container's name; closing releases everything."""
    stage.ask(path, ada)
    (client,) = stage.accepted
    (found,) = stage.hub.listeners.items()
    assert (found[0], found[1].kind) == (topic, kind)
    assert found[1].added == [(client, options)]
    connection = cast(Connection, client)
    assert connection.on_close is not None
    connection.on_close(connection)
    assert (stage.hub.left, stage.sessions.connections) == ([topic], 0)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "appId is missing: add ?appId=… to the address"),
        ("?appId=x", "appId must be a positive integer, not 'x'"),
        ("?appId=1&container=db", "appId and container exclude each other; give one"),
        ("?container=", "container: '' is not a container name"),
        ("?container=x", "container: 'x' is not a container name"),
        ("?container=a%20b", "container: 'a b' is not a container name"),
        ("?container=db%0A", "container: 'db\\n' is not a container name"),
        (f"?container={'x' * 129}", "container: 'xxx"),
        ("?container=db&history=-1", "history must be"),
        ("?appId=1&history=301", "history must be from 0 to 300"),
    ],
)
def test_a_wrong_query_is_refused(
    stage: Stage, ada: User, bob: User, query: str, text: str
) -> None:
    """With 400 and the reason before the upgrade, whoever asks."""
    for user in (ada, bob):
        answer = stage.ask(STATS + query, user)
        assert answer.status_code == 400
        assert answer.json["message"].startswith(text)
    assert not stage.accepted


@pytest.mark.parametrize(
    "path", [CONTAINERS, f"{STATS}?container=web", f"{STATS}?container=none", f"{STATS}?appId=1"]
)
def test_users_learn_nothing(stage: Stage, bob: User, app: App, path: str) -> None:
    """Not even whether a container exists; nothing is subscribed to for them."""
    stage.ask(path, bob)
    (client,) = stage.accepted
    (message,) = client.received
    assert (message["type"], message["data"]["message"]) == ("error", "Permission denied")
    assert client.code == close_codes.PERMISSION_DENIED
    assert not stage.hub.listeners


def test_absent_application(stage: Stage, ada: User, bob: User) -> None:
    """Only an admin learns that it does not exist."""
    for user in (ada, bob):
        stage.ask(f"{STATS}?appId=7", user)
    assert [client.code for client in stage.accepted] == [4404, 4403]


def test_viewer_of_an_application(stage: Stage, bob: User, app: App) -> None:
    """The stream ends when the grant is withdrawn."""
    stage.store.apps.grant(app.id, bob.id)
    stage.ask(f"{STATS}?appId=1", bob)
    assert list(stage.hub.listeners) == [b"stats/web/samples"]
    stage.sessions.check()
    assert stage.accepted[0].code is None
    stage.store.apps.revoke(app.id, bob.id)
    stage.sessions.check()
    assert stage.accepted[0].code == close_codes.PERMISSION_DENIED


def test_application_with_another_container_or_none(stage: Stage, bob: User, app: App) -> None:
    """Figures end once the application has another container, or is to be removed."""
    stage.store.apps.grant(app.id, bob.id)
    stage.ask(f"{STATS}?appId=1", bob)
    stage.store.apps.edit(app.id, lambda _: {"container": "web-2"})
    stage.sessions.check()
    assert stage.accepted[0].code == close_codes.TRY_AGAIN_LATER
    stage.sessions.remove(cast(Connection, stage.accepted[0]))
    stage.ask(f"{STATS}?appId=1", bob)
    stage.store.apps.request_removal(app.id, "ada")
    stage.sessions.check()
    assert stage.accepted[1].code == close_codes.NOT_FOUND


def test_admin_no_more(stage: Stage, ada: User, bob: User, app: App) -> None:
    """Who is no admin any more loses the containers, and keeps the own applications."""
    stage.store.apps.grant(app.id, ada.id)
    for path in (CONTAINERS, f"{STATS}?container=db", f"{STATS}?appId=1"):
        stage.ask(path, ada)
    stage.sessions.check()
    assert [client.code for client in stage.accepted] == [None, None, None]
    stage.store.users.set_role(bob.id, "admin")
    stage.store.users.set_role(ada.id, "user")
    stage.sessions.check()
    denied = close_codes.PERMISSION_DENIED
    assert [client.code for client in stage.accepted] == [denied, denied, None]


def test_application_of_each_container(store: Store) -> None:
    """By the given or the usual name; of several applications the first."""
    first, usual = store.apps.add("a", container="web"), store.apps.add("b")
    store.apps.add("c", container="web")
    assert store.apps.of_containers() == {"web": first.id, f"mist-app-{usual.id}": usual.id}


class OneList:
    """A hub with one list."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.left: list[bytes] = []

    def open(self, topic: bytes, _make: object) -> ContainerList:
        """Return the list."""
        assert topic == topics.CONTAINERS
        return self.bench.list

    def leave(self, topic: bytes) -> None:
        """Record the topic."""
        self.left.append(topic)


class TestHttp:
    """``GET /api/containers``."""

    def ask(self, api: Api, bench: Bench, user: User | None) -> tuple[Any, OneList]:
        """Return the answer, and the hub that it came from."""
        hub = OneList(bench)
        settings = Settings(containers=ContainerSettings(answer_seconds=0.05))
        resource = ContainersResource(cast(Hub, hub), settings, api.services.store)
        api.app.add_route("/api/containers", resource)
        return api.ask("GET", "/api/containers", user), hub

    def test_list(self, api: Api, ada: User) -> None:
        """The newest list; the subscription ends with the answer."""
        bench = Bench()
        bench.put_list("web", "db")
        bench.put_figures("web")
        answer, hub = self.ask(api, bench, ada)
        assert [(each["name"], each["app_id"]) for each in answer.json["data"]] == [
            ("web", 1),
            ("db", None),
        ]
        assert (bench.list.clients, hub.left) == (0, [topics.CONTAINERS])

    def test_no_list(self, api: Api, ada: User) -> None:
        """The wait is bounded."""
        bench = Bench()
        answer, hub = self.ask(api, bench, ada)
        assert answer.status_code == 503
        assert "The collector does not start" in answer.json["message"]
        assert (bench.list.clients, hub.left) == (0, [topics.CONTAINERS])

    @pytest.mark.parametrize("user", [None, "bob"])
    def test_others(self, api: Api, bob: User, user: str | None) -> None:
        """Nobody but an admin gets it."""
        answer, hub = self.ask(api, Bench(), bob if user else None)
        assert answer.status_code == (403 if user else 401)
        assert not hub.left
