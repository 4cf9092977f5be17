"""Tests of logging in and out, and of the origin check."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from mist.settings import AuthSettings
from mist.store import Store, User
from tests.support.http_api import SETTINGS, Api
from tests.support.store import PASSWORD


def _log_in(api: Api, password: str = PASSWORD, **options: Any) -> Any:
    body = {"email": "bob@example.com", "password": password}
    return api.ask("POST", "/api/auth/login", json=body, **options)


def test_a_login_sets_the_cookie_of_the_contract(api: Api, bob: User) -> None:
    """The cookie is HTTP-only, SameSite=Lax, valid for every path, and not Secure without TLS."""
    answer = _log_in(api)
    assert answer.status_code == 200
    assert answer.json["success"]
    assert answer.json["data"]["email"] == "bob@example.com"
    assert "token" not in answer.json["data"]
    cookie = answer.cookies["mist_token"]
    assert (cookie.http_only, cookie.same_site, cookie.path) == (True, "Lax", "/")
    assert not cookie.secure
    assert cookie.max_age in (86_399, 86_400)
    device = answer.cookies["mist_device"]
    assert (device.http_only, device.same_site, device.path) == (True, "Lax", "/")


def test_a_known_device_gets_through_while_the_account_is_attacked(api: Api, bob: User) -> None:
    """The cookie of an earlier log-in is enough; without it the client has to wait."""
    device = _log_in(api).cookies["mist_device"].value
    for _ in range(100):
        api.services.store.sessions.attempt({"email:bob@example.com": 100}, 300)
    assert _log_in(api).status_code == 429
    assert _log_in(api, headers={"Cookie": f"mist_device={device}"}).status_code == 200


@pytest.mark.parametrize(
    ("address", "forwarded", "secure"),
    [("127.0.0.1", "https", True), ("127.0.0.1", "http", False), ("192.0.2.1", "https", False)],
)
def test_the_cookie_is_secure_behind_tls(
    api: Api, bob: User, address: str, forwarded: str, secure: bool
) -> None:
    """Only a trusted proxy can say that the client used TLS."""
    answer = _log_in(api, headers={"X-Forwarded-Proto": forwarded}, remote_addr=address)
    assert bool(answer.cookies["mist_token"].secure) == secure


def test_me_says_who_is_logged_in(api: Api, bob: User) -> None:
    """The session cookie identifies the user."""
    token = _log_in(api).cookies["mist_token"].value
    answer = api.ask("GET", "/api/auth/me", headers={"Cookie": f"mist_token={token}"})
    assert answer.status_code == 200
    data = answer.json["data"]
    assert (data["user_id"], data["email"], data["role"]) == (bob.id, bob.email, "user")
    assert data["expires_at"].endswith("Z")


def test_a_wrong_password_is_refused(api: Api, bob: User) -> None:
    """A wrong password is answered with the error envelope and without a cookie."""
    answer = _log_in(api, "wrong password")
    assert answer.status_code == 401
    assert answer.json == {
        "success": False,
        "message": "Wrong email address or password",
        "data": None,
    }
    assert not answer.cookies


def test_too_many_attempts_say_when_to_come_back(api: Api, bob: User) -> None:
    """Too many attempts are answered with 429 and a Retry-After in seconds."""
    for _ in range(100):
        api.services.store.sessions.attempt({"email:bob@example.com": 100}, 300)
    answer = _log_in(api)
    assert answer.status_code == 429
    assert 290 < int(answer.headers["Retry-After"]) <= 300


def test_attempts_count_for_the_client_behind_the_proxy(api: Api, bob: User) -> None:
    """An X-Forwarded-For that the client wrote itself is ignored."""
    for _ in range(10):
        api.services.store.sessions.attempt({"address:192.0.2.7": 10}, 300)
    forged = {"X-Forwarded-For": "198.51.100.1, 192.0.2.7"}
    assert _log_in(api, headers=forged).status_code == 429
    assert _log_in(api, headers={"X-Forwarded-For": "192.0.2.8"}).status_code == 200


@pytest.mark.parametrize(
    "client", ["::ffff:192.0.2.7", "192.0.2.7:4711", "[::ffff:192.0.2.7]:80", "[::FFFF:C000:207]"]
)
@pytest.mark.parametrize("proxy", ["127.0.0.1", "::ffff:127.0.0.1", "::1"])
def test_an_address_has_one_form(api: Api, bob: User, client: str, proxy: str) -> None:
    """Different spellings of one client's address count as the same client."""
    for _ in range(10):
        api.services.store.sessions.attempt({"address:192.0.2.7": 10}, 300)
    answer = _log_in(api, headers={"X-Forwarded-For": client}, remote_addr=proxy)
    assert answer.status_code == 429


@pytest.mark.parametrize("client", ["unknown", "_hidden", "\x1b[31m", "a" * 300, "192.0.2.7.8", ""])
def test_an_invalid_forwarded_address_is_ignored(api: Api, bob: User, client: str) -> None:
    """An invalid forwarded address counts as the proxy that wrote it."""
    for _ in range(10):
        api.services.store.sessions.attempt({"address:127.0.0.1": 10}, 300)
    answer = _log_in(api, headers={"X-Forwarded-For": client}, remote_addr="127.0.0.1")
    assert answer.status_code == 429


@pytest.mark.parametrize("trusted", ["::ffff:10.0.0.0/104", "10.0.0.0/8"])
def test_a_trusted_network_has_one_form(api: Api, bob: User, trusted: str) -> None:
    """A trusted network matches however the operator and the socket write it."""
    server = msgspec.structs.replace(SETTINGS.server, forwarded_allow_ips=trusted)
    api = api.with_(settings=msgspec.structs.replace(SETTINGS, server=server))
    for address, secure in [("::ffff:10.1.2.3", True), ("10.1.2.3", True), ("11.1.2.3", False)]:
        answer = _log_in(api, headers={"X-Forwarded-Proto": "https"}, remote_addr=address)
        assert bool(answer.cookies["mist_token"].secure) == secure


def test_a_logout_ends_the_session_and_clears_the_cookie(api: Api, bob: User) -> None:
    """A logged-out token is invalid everywhere, including in copies."""
    headers = {"Cookie": "mist_token=" + _log_in(api).cookies["mist_token"].value}
    answer = api.ask("POST", "/api/auth/logout", headers=headers)
    assert (answer.status_code, answer.json["message"]) == (200, "Logged out")
    assert answer.cookies["mist_token"].value == ""
    assert answer.cookies["mist_token"].expires < datetime.now(UTC)
    answer = api.ask("GET", "/api/auth/me", headers=headers)
    assert (answer.status_code, answer.json["message"]) == (401, "Session expired")


def test_a_logout_ends_every_session_of_the_request(api: Api, bob: User) -> None:
    """A log-out ends the session of every cookie in the request, whatever its path."""
    first, second = (_log_in(api).cookies["mist_token"].value for _ in range(2))
    both = {"Cookie": f"mist_token={first}; mist_token={second}"}
    assert api.ask("POST", "/api/auth/logout", headers=both).json["message"] == "Logged out"
    for token in (first, second):
        headers = {"Cookie": f"mist_token={token}"}
        assert api.ask("GET", "/api/auth/me", headers=headers).status_code == 401


def test_at_most_two_cookies_of_a_request_are_checked(api: Api, bob: User) -> None:
    """Each costs a signature and a query, and a request could hold a thousand."""
    token = _log_in(api).cookies["mist_token"].value
    for before, status in (("mist_token=a; ", 200), ("mist_token=a; mist_token=b; ", 401)):
        headers = {"Cookie": f"{before}mist_token={token}"}
        assert api.ask("GET", "/api/auth/me", headers=headers).status_code == status


def test_logging_out_without_a_session_is_fine(api: Api) -> None:
    """Logging out without a session succeeds."""
    assert api.ask("POST", "/api/auth/logout").status_code == 200


@pytest.mark.parametrize(
    ("cookie", "reason"),
    [
        ("", "Not logged in"),
        ("mist_token=", "Not logged in"),
        ("mist_token=garbage", "Invalid session"),
        ("mist_token=a.b.c", "Invalid session"),
        ("mist_token=eyJhbGciOiJub25lIn0.e30.", "Invalid session"),
        ('other=1; mist_token="', "Invalid session"),
    ],
)
def test_who_is_not_logged_in(api: Api, cookie: str, reason: str) -> None:
    """A missing or malformed cookie is answered with 401 and the reason."""
    answer = api.ask("GET", "/api/auth/me", headers={"Cookie": cookie})
    assert (answer.status_code, answer.json["success"]) == (401, False)
    assert answer.json["message"] == reason


def test_the_valid_one_of_two_cookies_counts(api: Api, bob: User) -> None:
    """An old cookie of another path does not lock out a user who also sends a valid one."""
    token = _log_in(api).cookies["mist_token"].value
    headers = {"Cookie": f"mist_token=old; mist_token={token}"}
    assert api.ask("GET", "/api/auth/me", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://falconframework.org", 401),
        ("http://falconframework.org:80", 401),
        ("https://dashboard.example.com", 401),
        ("https://falconframework.org", 403),
        ("http://falconframework.org:8080", 403),
        ("http://falconframework.org.evil.example", 403),
        ("http://evil@falconframework.org", 403),
        ("http://falconframework.org:port", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_page_of_another_origin_changes_nothing(api: Api, origin: str, status: int) -> None:
    """Only this origin and ``allowed_origins`` may change anything; 401 comes from the log-in."""
    answer = _log_in(api, headers={"Origin": origin}, host="falconframework.org")
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("jürgen@example.com".encode(), 200),
        ("JÜRGEN@example.com".encode(), 200),
        ("\t à@example.com ".encode(), 200),
        ("à".encode(), 200),  # its last byte is white space in Latin-1
        ("jürgen@example.com".encode("latin-1"), 401),
        ("jürgen@example.com,à@example.com".encode(), 401),
    ],
)
def test_a_name_beyond_ascii_from_a_proxy(api: Api, store: Store, sent: bytes, status: int) -> None:
    """Sign-in servers write the header in UTF-8."""
    for email in ("jürgen@example.com", "à@example.com", "à"):
        store.users.add(email, "hash")
    auth = AuthSettings(proxy_header="Remote-Email")
    proxied = api.with_(settings=msgspec.structs.replace(SETTINGS, auth=auth))
    answer = proxied.ask(
        "GET", "/api/auth/me", extras={"HTTP_REMOTE_EMAIL": sent.decode("latin-1")}
    )
    assert answer.status_code == status
