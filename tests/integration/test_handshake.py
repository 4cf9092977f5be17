"""The response to a handshake for every row of the contract's table."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

import jwt
import psutil
import pytest
import requests

from tests.integration.conftest import MakeService
from tests.support.service.clients import Client
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

pytestmark = pytest.mark.engine

OpenClient = Callable[..., Client]

ROUTES = ("container/logs", "deployment/logs", "metrics")


def refused(open_client: OpenClient, *arguments: Any, **options: Any) -> tuple[int, str]:
    """Return the status and the message of a refused handshake."""
    client = open_client(*arguments, **options)
    client.wait_for(lambda _: client.closed.is_set())
    assert client.refusal is not None, "the handshake was accepted"
    return client.refusal.status, client.refusal.message


def forged(service: Service, **changes: Any) -> str:
    """Return a cookie as an attacker would forge it."""
    claims = {"user_id": 1, "email": "admin@localhost", "role": "admin", "exp": time.time() + 60}
    key = changes.pop("key", service.paths.secret.read_text().strip())
    algorithm = changes.pop("algorithm", "HS256")
    return f"mist_token={jwt.encode(claims | changes, key, algorithm=algorithm)}"


@pytest.mark.parametrize("route", ROUTES)
def test_no_cookie_is_401(service: Service, open_client: OpenClient, route: str) -> None:
    """The refusal comes before the upgrade and has a JSON body."""
    status, message = refused(open_client, service.ws_url(route, appId=1, deploymentId=1))
    assert status == 401
    assert message


def test_bad_cookies_are_401(service: Service, open_client: OpenClient) -> None:
    """Garbage, another key, a missing signature and an expired time are refused."""
    cookies = [
        "mist_token=garbage",
        "mist_token=",
        forged(service, key="another-secret-that-is-long-enough-to-sign"),
        forged(service, key="", algorithm="none"),
        forged(service, exp=time.time() - 1),
    ]
    for cookie in cookies:
        assert refused(open_client, service.ws_url("metrics"), cookie)[0] == 401


def test_foreign_origin_is_403(
    service: Service, admin: str, open_client: OpenClient, client_kind: type[Client]
) -> None:
    """A page of another origin must not read with the user's cookie."""
    url = service.ws_url("metrics")
    status, _ = refused(open_client, url, admin, "http://evil.example", kind=client_kind)
    assert status == 403
    same = open_client(url, admin, service.url, kind=client_kind)
    same.wait_for(lambda messages: messages)


def test_allowed_origin_is_accepted(
    engine: PrivateEngine, make_service: MakeService, open_client: OpenClient
) -> None:
    """Origins in ``server.allowed_origins`` are accepted, too."""
    service = make_service(engine, {"server.allowed_origins": "http://panel.example"})
    client = open_client(service.ws_url("metrics"), service.login(), "http://panel.example")
    client.wait_for(lambda messages: messages)


@pytest.mark.parametrize("route", ROUTES)
def test_plain_request_is_426(service: Service, admin: str, route: str) -> None:
    """A request without an upgrade, as from a browser's address bar, is refused."""
    url = service.ws_url(route, appId=1, deploymentId=1).replace("ws://", "http://")
    answer = requests.get(url, headers={"Cookie": admin}, timeout=10)
    assert answer.status_code == 426
    assert answer.json()["success"] is False
    assert "websocket" in answer.headers["Upgrade"].lower()


@pytest.mark.parametrize(
    ("route", "query", "words"),
    [
        ("container/logs", {}, "appId is missing"),
        ("container/logs", {"appId": ""}, "appId"),
        ("container/logs", {"appId": "abc"}, "appId must be a positive integer"),
        ("container/logs", {"appId": "-1"}, "appId must be a positive integer"),
        ("container/logs", {"appId": "0"}, "appId must be from 1"),
        ("container/logs", {"appId": "1.5"}, "appId must be a positive integer"),
        ("container/logs", {"appId": "9" * 400}, "appId must be from 1"),
        ("container/logs", {"appId": "1", "tail": "x"}, "tail must be"),
        ("container/logs", {"appId": "1", "since": "yesterday"}, "since"),
        ("container/logs", {"appId": "1", "stopped": "maybe"}, "stopped must be"),
        ("deployment/logs", {}, "deploymentId is missing"),
        ("deployment/logs", {"deploymentId": "x"}, "deploymentId must be"),
        ("metrics", {"history": "301"}, "history must be from 0 to 300"),
    ],
)
def test_wrong_parameter_is_400(
    service: Service,
    admin: str,
    open_client: OpenClient,
    route: str,
    query: dict[str, str],
    words: str,
) -> None:
    """The response names the wrong parameter and the reason."""
    status, message = refused(open_client, service.ws_url(route, **query), admin)
    assert status == 400
    assert words in message


@pytest.mark.parametrize(
    ("route", "query", "what"),
    [
        ("container/logs", {"appId": 999_999}, "Application"),
        ("deployment/logs", {"deploymentId": 999_999}, "Deployment"),
    ],
)
def test_absent_is_4404_for_an_admin_and_4403_for_others(
    service: Service,
    admin: str,
    open_client: OpenClient,
    client_kind: type[Client],
    route: str,
    query: dict[str, int],
    what: str,
) -> None:
    """Administrators learn that a topic does not exist; other users do not."""
    email = f"{client_kind.kind}-{what}@example.org".lower()
    service.add_user(email, "correct horse battery")
    for cookie, code, message in (
        (admin, 4404, f"{what} not found"),
        (service.login(email, "correct horse battery"), 4403, "Permission denied"),
    ):
        client = open_client(service.ws_url(route, **query), cookie, kind=client_kind)
        assert client.wait_closed() == code
        assert client.types == ["error"]
        assert client.messages[0]["data"] == {"message": message}


def test_access_through_a_grant(
    service: Service, engine: PrivateEngine, container: str, open_client: OpenClient
) -> None:
    """A user has no access until it is granted."""
    engine.run(container, "echo hello; sleep 600")
    app = service.add_app(container, container)
    service.add_user("guest@example.org", "correct horse battery")
    cookie = service.login("guest@example.org", "correct horse battery")
    url = service.ws_url("container/logs", appId=app)
    assert open_client(url, cookie).wait_closed() == 4403
    service.mist("app", "grant", container, "guest@example.org")
    assert open_client(url, cookie).wait_lines(1) == ["hello"]


def test_a_deployment_is_shown_to_whom_its_application_is(
    service: Service, open_client: OpenClient
) -> None:
    """Without a grant, an existing deployment is refused like a missing one."""
    app = service.add_app("shown", None, "--git", "file:///nonexistent.git")
    service.add_user("viewer@example.org", "correct horse battery")
    cookie = service.login("viewer@example.org", "correct horse battery")
    service.mist("deploy", "shown", check=False)
    answer = requests.get(
        f"{service.url}/api/apps/{app}/deployments", headers={"Cookie": service.login()}, timeout=30
    )
    url = service.ws_url("deployment/logs", deploymentId=answer.json()["data"][0]["id"])
    refused_one = open_client(url, cookie)
    assert refused_one.wait_closed() == 4403
    assert [m["data"] for m in refused_one.messages] == [{"message": "Permission denied"}]
    service.mist("app", "grant", "shown", "viewer@example.org")
    assert open_client(url, cookie).wait_closed() == 1000


def test_missing_container_is_4404(service: Service, admin: str, open_client: OpenClient) -> None:
    """An application whose container was never created is refused with 4404."""
    app = service.add_app("without-container", "no-such-container")
    client = open_client(service.ws_url("container/logs", appId=app), admin)
    assert client.wait_closed() == 4404
    assert [m["data"]["message"] for m in client.messages] == ["Container not found"]


def test_stopped_container_is_4409(
    service: Service,
    engine: PrivateEngine,
    container: str,
    admin: str,
    open_client: OpenClient,
    client_kind: type[Client],
) -> None:
    """A stopped container gives the status and then the error."""
    engine.run(container, "echo gone")
    wait_until(lambda: engine.state(container) == "exited", "the container to exit")
    app = service.add_app(f"{container}-{client_kind.kind}", container)
    client = open_client(service.ws_url("container/logs", appId=app), admin, kind=client_kind)
    assert client.wait_closed() == 4409
    assert client.types == ["status", "error"]
    assert client.messages[0]["data"]["state"] == "exited"
    assert client.messages[1]["data"]["message"] == "Container is not running (state: exited)"


def test_unreachable_engine_is_1013(
    own_engine: PrivateEngine, make_service: MakeService, open_client: OpenClient
) -> None:
    """If the engine cannot be reached, metrics continue without its counts."""
    service = make_service(own_engine)
    cookie = service.login()
    app = service.add_app("any")
    own_engine.stop()
    client = open_client(service.ws_url("container/logs", appId=app), cookie)
    assert client.wait_closed() == 1013
    assert [m["data"]["message"] for m in client.messages] == ["Docker Engine is unreachable"]
    metrics = open_client(service.ws_url("metrics"), cookie)
    metrics.wait_for(
        lambda found: found and set(found[-1]["docker"].values()) == {None}, seconds=30
    )


def test_too_many_clients_is_1013(
    engine: PrivateEngine, make_service: MakeService, open_client: OpenClient
) -> None:
    """A client beyond the configured limit is told so and closed with 1013."""
    service = make_service(engine, {"streams.max_clients": 2})
    cookie = service.login()
    clients = [open_client(service.ws_url("metrics"), cookie) for _ in range(2)]
    for client in clients:
        client.wait_for(lambda messages: messages)
    third = open_client(service.ws_url("metrics"), cookie)
    assert third.wait_closed() == 1013
    assert third.messages[0]["data"]["message"] == "Too many clients"


def test_too_many_streams_of_a_user_or_an_address_is_1013(
    engine: PrivateEngine, make_service: MakeService, open_client: OpenClient
) -> None:
    """A user's limit does not concern others; an admin only shares that of the address."""
    limits = {"streams.max_per_user": 1, "streams.max_per_address": 3}
    # No proxy is trusted, because a trusted one is exempt from the limit of addresses.
    service = make_service(engine, limits | {"server.forwarded_allow_ips": "192.0.2.1"})
    service.add_user("guest@example.org", "correct horse battery")
    guest, admin = service.login("guest@example.org", "correct horse battery"), service.login()
    url = service.ws_url("metrics")
    open_client(url, guest).wait_for(lambda messages: messages)
    refused_one = open_client(url, guest)
    assert refused_one.wait_closed() == 1013
    text = "You have 1 open streams; close some of them"
    assert [m["data"]["message"] for m in refused_one.messages] == [text]
    admins = [open_client(url, admin) for _ in range(2)]
    for client in admins:
        client.wait_for(lambda messages: messages)
    refused_one = open_client(url, admin)
    assert refused_one.wait_closed() == 1013
    text = "Your network has 3 open streams; close some of them"
    assert [m["data"]["message"] for m in refused_one.messages] == [text]
    # A place comes back when its client leaves.
    admins[0].close()

    def accepted() -> bool:
        client = open_client(url, admin)
        client.wait_for(lambda messages: messages)
        return client.types[0] != "error"

    wait_until(accepted, "a free place")


def test_too_many_collectors_is_1013(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """A stream that would need one collector too many is closed with 1013."""
    service = make_service(engine, {"collector.max_running": 1})
    cookie = service.login()
    engine.run(container, "echo hello; sleep 600")
    first, second = service.add_app("first", container), service.add_app("second", container)
    open_client(service.ws_url("container/logs", appId=first), cookie).wait_lines(1)
    refused_one = open_client(service.ws_url("container/logs", appId=second), cookie)
    assert refused_one.wait_closed() == 1013
    assert "collectors" in refused_one.messages[-1]["data"]["message"]


def test_revoked_session_loses_its_streams(
    engine: PrivateEngine, make_service: MakeService, open_client: OpenClient
) -> None:
    """After a log-out elsewhere, the open stream ends with 4401."""
    service = make_service(engine, {"auth.check_seconds": 1})
    cookie = service.login()
    client = open_client(service.ws_url("metrics"), cookie)
    client.wait_for(lambda messages: messages)
    answer = requests.post(f"{service.url}/api/auth/logout", headers={"Cookie": cookie}, timeout=10)
    assert answer.status_code == 200
    assert client.wait_closed(60) == 4401
    assert client.messages[-1]["data"] == {"message": "Session expired"}


def test_password_change_ends_open_streams(
    engine: PrivateEngine, make_service: MakeService, open_client: OpenClient
) -> None:
    """A password change ends the user's streams at once."""
    service = make_service(engine, {"auth.check_seconds": 1})
    service.add_user("guest@example.org", "correct horse battery")
    cookie = service.login("guest@example.org", "correct horse battery")
    client = open_client(service.ws_url("metrics"), cookie)
    client.wait_for(lambda messages: messages)
    new = "a new password that is long enough\n"
    service.mist("user", "passwd", "guest@example.org", "--password-stdin", input=new)
    assert client.wait_closed(60) == 4401
    assert refused(open_client, service.ws_url("metrics"), cookie)[0] == 401


def test_a_withdrawn_right_ends_its_streams(
    engine: PrivateEngine, make_service: MakeService, container: str, open_client: OpenClient
) -> None:
    """A revoked grant, a role that is taken away and a removed account, each by the command."""
    service = make_service(engine, {"auth.check_seconds": 1})
    engine.run(container, "echo one; sleep 600")
    app = service.add_app(container, container)
    url = service.ws_url("container/logs", appId=app)
    password = "correct horse battery"
    for name in ("granted", "gone"):
        service.add_user(f"{name}@example.org", password)
        service.mist("app", "grant", container, f"{name}@example.org")
    service.add_user("boss@example.org", password, admin=True)
    withdrawals = {
        "granted": (("app", "revoke", container, "granted@example.org"), 4403),
        "boss": (("user", "role", "boss@example.org", "user"), 4403),
        "gone": (("user", "remove", "gone@example.org", "--yes"), 4401),
    }
    stays = open_client(url, service.login())
    for name, (command, code) in withdrawals.items():
        cookie = service.login(f"{name}@example.org", password)
        client, metrics = open_client(url, cookie), open_client(service.ws_url("metrics"), cookie)
        client.wait_lines(1)
        service.mist(*command)
        assert client.wait_closed(60) == code
        reason = "Permission denied" if code == 4403 else "Session expired"
        assert client.messages[-1]["data"] == {"message": reason}
        # What every user may see goes on as long as the session does.
        assert metrics.closed.wait(2) == (code == 4401)
    assert stays.code is None


def test_expired_session_loses_its_streams(
    engine: PrivateEngine, make_service: MakeService, open_client: OpenClient
) -> None:
    """Streams end when their session, here of a few seconds, expires."""
    service = make_service(engine, {"auth.check_seconds": 1})
    cookie = forged(service, exp=time.time() + 4)
    client = open_client(service.ws_url("metrics"), cookie)
    client.wait_for(lambda messages: messages)
    assert client.wait_closed(60) == 4401


def test_stop_is_1001_and_reload_is_1012(
    engine: PrivateEngine, make_service: MakeService, open_client: OpenClient
) -> None:
    """Pending messages are sent before the close frame."""
    service = make_service(engine)
    cookie = service.login()
    client = open_client(service.ws_url("metrics"), cookie)
    client.wait_for(lambda messages: messages)
    psutil.Process(int(service.running("gunicorn")[0]["pid"])).send_signal(1)
    assert client.wait_closed(60) == 1012
    again = open_client(service.ws_url("metrics"), cookie)
    again.wait_for(lambda messages: messages, 60)
    service.stop()
    assert again.wait_closed() == 1001


def test_garbage_database_is_no_traceback(engine: PrivateEngine, make_service: MakeService) -> None:
    """A file that is not a database is reported with its path."""
    service = make_service(engine, start=False)
    service.paths.database.parent.mkdir(parents=True)
    service.paths.database.write_bytes(b"this is no database" * 100)
    done = service.mist("user", "list", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert str(service.paths.database) in done.stderr
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(service.paths.database).execute("select 1 from users")


def test_no_other_spelling_of_a_token_outlives_the_log_out(
    service: Service, open_client: OpenClient
) -> None:
    """No other spelling of a token works before or after the log-out, for requests or streams."""
    cookie = service.login()
    last = cookie[-1]
    others = [f"{cookie}=", f"{cookie}==", f"{cookie[:-1]}{chr(ord(last) ^ 1)}", f"{cookie}."]
    me = f"{service.url}/api/auth/me"
    assert requests.get(me, headers={"Cookie": cookie}, timeout=30).status_code == 200
    out = requests.post(f"{service.url}/api/auth/logout", headers={"Cookie": cookie}, timeout=30)
    assert out.status_code == 200
    for spelling in (cookie, *others):
        assert requests.get(me, headers={"Cookie": spelling}, timeout=30).status_code == 401
        assert refused(open_client, service.ws_url("metrics"), spelling)[0] == 401
