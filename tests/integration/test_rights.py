"""Who may do what: every route for every kind of user and token, and how rights end."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import falcon.inspect
import psutil
import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from api.app import create_app
from api.live.routes import Live, add_routes
from api.monitoring import Monitoring
from api.services import Services
from mist.settings import Settings
from tests.support.service.service import ADMIN, Service

PASSWORD: Final = "four pass words"

#: A row for each route and method, and a column for each client.  A number of HTTP is the
#: status, one from 1000 on the code with which the stream is closed, and 101 a stream that goes
#: on.  What succeeds changes nothing: a target does not exist (404), a body is wrong (400), or
#: the request contradicts the state (409).
#:
#: ``one-time``: an admin with a one-time password.  ``admin-t``: an admin's token, ``admin-v``
#: and ``admin-d``: with ``--right``, ``admin-a``: with ``--app web``, ``admin-o``: with another
#: application.  ``view-t``: a viewer's token, ``dep-t``: a deployer's, ``dep-v``: with
#: ``--right viewer``.
COLUMNS: Final = [
    *("nobody", "stranger", "viewer", "deployer", "admin", "one-time"),
    *("admin-t", "admin-v", "admin-d", "admin-a", "admin-o", "view-t", "dep-t", "dep-v"),
    *("revoked", "expired"),
]
TABLE: Final = """
GET /healthz                        200 200 200 200 200 200  200 200 200 200 200 200 200 200 200 200
GET /readyz                         200 200 200 200 200 200  200 200 200 200 200 200 200 200 200 200
GET /metrics                        200 200 200 200 200 200  200 200 200 200 200 200 200 200 200 200
POST /api/auth/login                400 400 400 400 400 400  400 400 400 400 400 400 400 400 400 400
GET /api/auth/me                    401 200 200 200 200 200  200 200 200 200 200 200 200 200 401 401
POST /api/auth/password             401 400 400 400 400 400  403 403 403 403 403 403 403 403 401 401
GET /api/users                      401 403 403 403 200 403  200 403 403 403 403 403 403 403 401 401
POST /api/users                     401 403 403 403 400 403  400 403 403 403 403 403 403 403 401 401
PATCH /api/users/999                401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
DELETE /api/users/999               401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
GET /api/tokens                     401 200 200 200 200 403  200 403 403 403 403 200 200 403 401 401
POST /api/tokens                    401 400 400 400 400 403  403 403 403 403 403 403 403 403 401 401
DELETE /api/tokens/999              401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
GET /api/apps                       401 200 200 200 200 403  200 200 200 200 200 200 200 200 401 401
POST /api/apps                      401 403 403 403 400 403  400 403 403 403 403 403 403 403 401 401
GET /api/apps/WEB                   401 403 200 200 200 403  200 200 200 200 403 200 200 200 401 401
GET /api/apps/999                   401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
PATCH /api/apps/999                 401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
DELETE /api/apps/999                401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
GET /api/apps/999/adoption          401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
POST /api/apps/WEB/adoption         401 403 403 403 400 403  400 403 403 403 403 403 403 403 401 401
POST /api/apps/999/hook             401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
DELETE /api/apps/999/hook           401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
GET /api/apps/WEB/grants            401 403 403 403 200 403  200 403 403 403 403 403 403 403 401 401
GET /api/apps/WEB/grants/999        401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
PUT /api/apps/WEB/grants/999        401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
DELETE /api/apps/WEB/grants/999     401 403 403 403 404 403  404 403 403 403 403 403 403 403 401 401
GET /api/apps/WEB/logs?tail=x       401 403 400 400 400 403  400 400 400 400 403 400 400 400 401 401
GET /api/containers/box/logs?tail=x 401 403 403 403 400 403  400 403 403 403 403 403 403 403 401 401
GET /api/apps/WEB/deployments       401 403 200 200 200 403  200 200 200 200 403 200 200 200 401 401
POST /api/apps/WEB/deployments      401 403 403 409 409 403  409 403 409 409 403 403 409 403 401 401
GET /api/deployments/RAN            401 403 200 200 200 403  200 200 200 200 403 200 200 200 401 401
POST /api/deployments/RAN/cancel    401 403 403 409 409 403  409 403 409 409 403 403 409 403 401 401
GET /api/containers                 401 403 403 403 503 403  503 403 403 403 403 403 403 403 401 401
GET /api/openapi.json               200 200 200 200 200 200  200 200 200 200 200 200 200 200 200 200
WS /ws/metrics                      401 101 101 101 101 403  101 101 101 4403 4403 101 101 101 401 401
WS /ws/container/logs?appId=WEB     401 4403 1013 1013 1013 403  1013 1013 1013 1013 4403 1013 1013 1013 401 401
WS /ws/container/logs?appId=999     401 4403 4403 4403 4404 403  4404 4403 4403 4403 4403 4403 4403 4403 401 401
WS /ws/containers                   401 4403 4403 4403 1013 403  1013 4403 4403 4403 4403 4403 4403 4403 401 401
WS /ws/container/logs?container=box 401 4403 4403 4403 1013 403  1013 4403 4403 4403 4403 4403 4403 4403 401 401
WS /ws/container/stats?container=box 401 4403 4403 4403 1013 403  1013 4403 4403 4403 4403 4403 4403 4403 401 401
WS /ws/container/stats?appId=WEB    401 4403 1013 1013 1013 403  1013 1013 1013 1013 4403 1013 1013 1013 401 401
WS /ws/deployment/logs?deploymentId=RAN 401 4403 1000 1000 1000 403  1000 1000 1000 1000 4403 1000 1000 1000 401 401
WS /ws/deployment/logs?deploymentId=999 401 4403 4403 4403 4404 403  4404 4403 4403 4403 4403 4403 4403 4403 401 401
GET /api/status                     401 403 403 403 200 403  200 403 403 403 403 403 403 403 401 401
GET /api/audit                      401 403 403 403 200 403  200 403 403 403 403 403 403 403 401 401
POST /api/hooks/WEB                 403 403 403 403 403 403  403 403 403 403 403 403 403 403 403 403
POST /api/auth/logout               200 200 200 200 200 200  200 200 200 200 200 200 200 200 200 200
"""  # noqa: E501 - a table
ROWS: Final = [re.split(r"\s+(?=\d+ )", row, maxsplit=1) for row in TABLE.strip().splitlines()]

NO_ENGINE: Final = "unix:///nonexistent/docker.sock"


class House:
    """A service without an engine, an application, a deployment of it that ended, and clients.

    Everything is made over HTTP, because a command takes longer to start than a request.
    """

    def __init__(self) -> None:
        self.service = Service(NO_ENGINE, {"auth.check_seconds": 1, "engine.timeout_seconds": 1})

    def furnish(self) -> None:
        """Start the service and make everything that the table names."""
        self.service.start()
        self.admin = {"Cookie": self.service.login()}
        apps = ({"name": "web", "container": "box"}, {"name": "other"})
        self.web, _ = (self.call("POST", "/api/apps", app)["id"] for app in apps)
        with self.writing() as store:
            self.ran = self.insert_deployment(store, "failed")
        for name in ("stranger", "viewer", "deployer"):
            self.add_user(f"{name}@localhost")
        grants = f"/api/apps/{self.web}/grants"
        self.call("PUT", f"{grants}/viewer@localhost", {"right": "viewer"})
        self.call("PUT", f"{grants}/deployer@localhost")

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send a request of the admin, which must succeed, and return its data."""
        url = f"{self.service.url}{path}"
        answer = requests.request(method, url, json=body, headers=self.admin, timeout=30)
        assert answer.ok, answer.text
        return answer.json()["data"]

    def add_user(self, email: str, **fields: object) -> int:
        """Add a user and return the id."""
        body = {"email": email, "password": PASSWORD} | fields
        return int(self.call("POST", "/api/users", body)["id"])

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the store, to which nobody else writes meanwhile."""
        path = self.service.paths.database
        with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as store:
            store.execute("BEGIN IMMEDIATE")
            yield store
            store.execute("COMMIT")

    def insert_deployment(self, store: sqlite3.Connection, status: str) -> int:
        """Add a deployment that no runner has begun."""
        row = store.execute(
            "INSERT INTO deployments (app_id, status, stage, progress, message,"
            " error_message, created_by, created_at)"
            " VALUES (?, ?, 'cloning_repo', 25, 'Cloning', '', 'me', '2025')",
            (self.web, status),
        )
        assert row.lastrowid is not None
        return row.lastrowid

    def token(self, **fields: object) -> dict[str, str]:
        """Return the header of a new token."""
        text = self.call("POST", "/api/tokens", {"name": "ci"} | fields)["token"]
        return {"Authorization": f"Bearer {text}"}

    def newest_token(self) -> int:
        """Return the id of the newest token."""
        return int(self.call("GET", "/api/tokens")[-1]["id"])

    def expire(self, token: int) -> None:
        """Let a token have expired."""
        with self.writing() as store:
            store.execute("UPDATE tokens SET expires_at = '2025' WHERE id = ?", (token,))

    def session(self, email: str, password: str = PASSWORD) -> dict[str, str]:
        """Return the header of a new session."""
        return {"Cookie": self.service.login(email, password)}

    def stream(self, path: str, headers: dict[str, str]) -> ClientConnection:
        """Open a stream."""
        url = f"ws://127.0.0.1:{self.service.port}{path}"
        return connect(url, additional_headers=headers, proxy=None, open_timeout=30)

    def outcome(self, route: str, headers: dict[str, str]) -> int:
        """Return what becomes of a request: a status, or the code of a stream's end."""
        method, path = route.replace("WEB", str(self.web)).replace("RAN", str(self.ran)).split()
        if method != "WS":
            url = f"{self.service.url}{path}"
            return requests.request(method, url, headers=headers, json={}, timeout=30).status_code
        try:
            with self.stream(path, headers) as stream:
                if path == "/ws/metrics" and "cpu" in str(stream.recv(30)):
                    return 101
                while True:
                    stream.recv(30)
        except InvalidStatus as refused:
            return refused.response.status_code
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """The service of this module."""
    house = House()
    try:
        house.furnish()
        yield house
    finally:
        house.service.destroy()


@pytest.fixture(scope="module")
def clients(house: House) -> dict[str, dict[str, str]]:
    """The headers of each column's client."""
    new = {"email": "new@localhost", "role": "admin"}
    one_time = house.call("POST", "/api/users", new)["one_time_password"]
    viewer, deployer = {"user": "viewer@localhost"}, {"user": "deployer@localhost"}
    found = {
        "nobody": {},
        **{name: house.session(f"{name}@localhost") for name in ("stranger", "viewer", "deployer")},
        "admin": {"Cookie": house.service.login()},
        "one-time": house.session("new@localhost", one_time),
        "admin-t": house.token(user=ADMIN, expires="90d"),
        "admin-v": house.token(right="viewer"),
        "admin-d": house.token(right="deployer"),
        "admin-a": house.token(apps=["web"]),
        "admin-o": house.token(apps=["other"]),
        "view-t": house.token(**viewer),
        "dep-t": house.token(**deployer),
        "dep-v": house.token(**deployer, right="viewer"),
        "revoked": house.token(),
    }
    house.call("DELETE", f"/api/tokens/{house.newest_token()}")
    found["expired"] = house.token(expires="1h")
    house.expire(house.newest_token())
    assert list(found) == COLUMNS
    return found


@pytest.mark.parametrize(("route", "codes"), ROWS, ids=[row[0] for row in ROWS])
def test_every_route(
    house: House, clients: dict[str, dict[str, str]], route: str, codes: str
) -> None:
    """Each client gets what the table says, and an error says why in JSON."""
    got = {name: house.outcome(route, headers) for name, headers in clients.items()}
    assert got == dict(zip(COLUMNS, map(int, codes.split()), strict=True))


def test_the_table_has_every_route() -> None:
    """A route that is added later needs a row."""
    nothing: Any = None
    monitoring = Monitoring(nothing, nothing)
    services = Services(Settings(), nothing, nothing, b"", monitoring, lambda: None)
    app = create_app(services)
    add_routes(app, Live(nothing, nothing, nothing, nothing, nothing))
    routes = {
        ("WS" if route.path.startswith("/ws/") else method.method, route.path)
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal and method.method != "HEAD"
    }
    rows = [row[0].partition("?")[0].split() for row in ROWS]

    def in_table(method: str, path: str) -> bool:
        pattern = re.sub(r"\{\w+\}", "[^/]+", path)
        return any(row[0] == method and re.fullmatch(pattern, row[1]) for row in rows)

    assert [route for route in sorted(routes) if not in_table(*route)] == []


def _revoke_token(house: House, _user: int) -> None:
    house.call("DELETE", f"/api/tokens/{house.newest_token()}")


def _expire_token(house: House, _user: int) -> None:
    house.expire(house.newest_token())


def _set_password(house: House, user: int) -> None:
    house.call("PATCH", f"/api/users/{user}", {"password": f"{PASSWORD} again"})


def _take_role(house: House, user: int) -> None:
    house.call("PATCH", f"/api/users/{user}", {"role": "user"})


def _remove(house: House, user: int) -> None:
    house.call("DELETE", f"/api/users/{user}")


def _withdraw(house: House, user: int) -> None:
    house.call("PATCH", f"/api/users/{user}", {"role": "user"})
    path = f"/api/apps/{house.web}/grants/{user}"
    house.call("PUT", path, {"right": "viewer"})
    house.call("DELETE", path)


@pytest.fixture
def endless(house: House) -> Iterator[int]:
    """A deployment that waits until the end of the test."""
    supervisor = psutil.Process(house.service.pid)
    with house.writing() as store:
        # It would end a deployment that has no runner.  While it writes, it would stop all others.
        supervisor.suspend()
        deployment = house.insert_deployment(store, "pending")
    try:
        yield deployment
    finally:
        supervisor.resume()


@pytest.mark.parametrize(
    ("token", "take", "code"),
    [
        (True, _revoke_token, 4401),
        (True, _expire_token, 4401),
        (True, _take_role, 4403),
        (True, _withdraw, 4403),
        (True, _remove, 4401),
        (False, _set_password, 4401),
        (False, _take_role, 4403),
        (False, _withdraw, 4403),
        (False, _remove, 4401),
    ],
)
def test_what_is_taken_away_ends_streams(
    house: House, endless: int, token: bool, take: Callable[[House, int], None], code: int
) -> None:
    """An open stream ends with the reason, and the next request is refused at once."""
    user = house.add_user("second@localhost", role="admin")
    try:
        email = "second@localhost"
        headers = house.token(user=email) if token else house.session(email)
        with house.stream(f"/ws/deployment/logs?deploymentId={endless}", headers) as stream:
            assert "pending" in str(stream.recv(30))
            take(house, user)
            refused = house.outcome(f"GET /api/deployments/{endless}", headers)
            assert refused == (401 if code == 4401 else 403)
            assert _end(stream) == code
    finally:
        if take is not _remove:
            _remove(house, user)


def test_a_new_password_ends_no_token(house: House) -> None:
    """A token was not made from the password; only revoking it ends it."""
    headers = house.token(user="deployer@localhost")
    body = {"old_password": PASSWORD, "new_password": f"{PASSWORD} again"}
    session = house.session("deployer@localhost")
    with house.stream("/ws/metrics", headers) as kept, house.stream("/ws/metrics", session) as gone:
        url = f"{house.service.url}/api/auth/password"
        assert requests.post(url, json=body, headers=session, timeout=30).status_code == 200
        assert _end(gone) == 4401
        assert "cpu" in str(kept.recv(30))
    used = house.call("GET", "/api/tokens")[-1]["last_used_at"]
    assert used is not None  # also by a stream alone


def _end(stream: ClientConnection) -> int:
    """Return the code with which the server closes the stream."""
    try:
        while True:
            stream.recv(30)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006
