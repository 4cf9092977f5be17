"""The address of a service, and what is wrong with one."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mist_client import AsyncClient, Client, Unreachable
from mist_client.address import service
from mist_client.answers import message_of, reason_of, seconds_of


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8420", "ws://127.0.0.1:8420/ws/metrics?history=5"),
        ("https://mist.lan/", "wss://mist.lan/ws/metrics?history=5"),
        ("https://mist.lan/mist/", "wss://mist.lan/mist/ws/metrics?history=5"),
        ("HTTPS://Mist.lan", "wss://Mist.lan/ws/metrics?history=5"),
        ("http://[::1]:80", "ws://[::1]:80/ws/metrics?history=5"),
    ],
)
def test_streams_are_below_the_address(url: str, expected: str) -> None:
    """With TLS where the address has it, and without parameters that are not given."""
    made = service(url, None, None, 1.0, None)
    assert made.socket_url("/ws/metrics", {"history": 5, "appId": None}) == expected
    assert (made.socket_tls is not None) == expected.startswith("wss")


def test_parameters_are_quoted() -> None:
    """A time has a plus sign, and a name may have anything."""
    made = service("http://h", None, None, 1.0, None)
    query = {"since": "2026-01-01T00:00:00+01:00", "container": "a&b=ä"}
    assert made.socket_url("/ws", query).endswith(
        "?since=2026-01-01T00%3A00%3A00%2B01%3A00&container=a%26b%3D%C3%A4"
    )


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("mist.lan", {}, "'mist.lan' is not the address of a service"),
        ("ftp://mist.lan", {}, "not the address of a service"),
        ("https://", {}, "not the address of a service"),
        ("https://h:port", {}, "not the address of a service"),
        ("https://[::1", {}, "not the address of a service"),
        ("https://[v1.x]", {}, "is not valid: Invalid IPv6 address"),
        ("https://\u2603.lan", {}, "is not valid: Invalid IDNA hostname"),
        ("https://h?x=1", {}, "not the address of a service"),
        ("https://h\n", {}, "not the address of a service"),
        ("https://h i", {}, "not the address of a service"),
        ("https://h\0", {}, "not the address of a service"),
        ("", {}, "not the address of a service"),
        ("https://ada:pw@h", {}, "must not contain a password"),
        ("https://h", {"token": "a b"}, "copy it again"),
        ("https://h", {"token": "a\n"}, "copy it again"),
        ("https://h", {"token": ""}, "the token is empty"),
        ("https://h", {"token": "mist_ä"}, "copy it again"),
        ("https://h", {"ca": "/none.pem"}, "'/none.pem' has no certificate of a CA"),
        ("https://h", {"ca": Path(__file__)}, "has no certificate of a CA"),
        ("https://h", {"timeout": 0}, "timeout must be more than 0 seconds, not 0"),
    ],
)
def test_what_is_wrong_is_named(client: Any, url: str, options: dict[str, Any], words: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=words):
        client(url, **options)


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url", ["http://mist.lan:8420/", "http://192.0.2.1", "http://[2001:db8::1]"]
)
def test_a_token_without_encryption_is_a_warning(client: Any, url: str) -> None:
    """It names the host and the line of the program."""
    with pytest.warns(UserWarning, match="the token goes to .* without encryption") as warned:
        client(url, token="mist_t")
    [one] = warned
    assert (urlsplit(url).hostname or "") in str(one.message)
    assert one.filename == __file__


def test_a_password_without_encryption_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client without a token warns when it signs in.  The address is this machine, on Linux."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    words = "the password goes to 0.0.0.0 without encryption"

    async def run() -> None:
        async with AsyncClient("http://0.0.0.0:1") as other:
            with pytest.warns(UserWarning, match=words), pytest.raises(Unreachable):
                await other.login("ada@example.com", "secret")

    with Client("http://0.0.0.0:1") as client:
        with pytest.warns(UserWarning, match=words) as warned, pytest.raises(Unreachable):
            client.login("ada@example.com", "secret")
        assert warned[0].filename == __file__
    asyncio.run(run())


@pytest.mark.parametrize(
    "url",
    [
        "https://mist.lan",
        "http://localhost:1",
        "http://127.0.0.1",
        "http://127.1.2.3",
        "http://[::1]",
    ],
)
def test_loopback_and_tls_are_no_warning(url: str) -> None:
    """There, nobody else can read the token."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Client(url, token="mist_t").close()


def test_a_context_is_taken_as_it_is() -> None:
    """For client certificates and whatever else it can do."""
    context = ssl.create_default_context()
    assert service("https://h", None, context, 1.0, None).socket_tls is context


@pytest.mark.parametrize(
    ("status", "body", "location", "words"),
    [
        (404, b'{"success":false,"message":"No such thing","data":null}', None, "No such thing"),
        (502, b"<html>", None, "not one of Mist's; check the address, and the proxy"),
        (502, b"\xff", None, "not one of Mist's"),
        (404, b"[]", None, "not one of Mist's"),
        (301, b"", "https://elsewhere/", "redirects to https://elsewhere/; use that address"),
    ],
)
def test_answers_say_what_is_wrong(
    status: int, body: bytes, location: str | None, words: str
) -> None:
    """In the service's words, or about what answered in its place."""
    assert words in message_of(status, body, location)


def test_failed_connections_say_why() -> None:
    """In the words of the system, whatever the libraries wrapped around them."""
    try:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise RuntimeError("wrapped") from error
    except RuntimeError as error:
        wrapped = error
    assert reason_of(wrapped) == ("The service cannot be reached: Connection refused", False)
    assert reason_of(TimeoutError()) == ("The service takes too long to answer", False)
    assert reason_of(EOFError())[0].endswith("cannot be reached: EOFError")


def test_a_port_without_tls_is_told() -> None:
    """An http address was probably meant."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].sendall(b"HTTP/1.1 400 No\r\n")).start()
        with socket.create_connection(server.getsockname()) as plain:
            context = ssl.create_default_context()
            with pytest.raises(ssl.SSLError) as caught:
                context.wrap_socket(plain, server_hostname="localhost")
    assert "does not speak TLS (WRONG_VERSION_NUMBER)" in reason_of(caught.value)[0]


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, None), ("7", 7.0), ("soon", None), ("-1", None), ("", None)]
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """A date, which the service never sends, is ignored."""
    assert seconds_of(header) == seconds
