"""Tests of the opening handshake."""

from __future__ import annotations

import pytest

from api.websocket import handshake

GOOD = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_a_handshake_has_no_problem() -> None:
    """Firefox's handshake, with two tokens in Connection, is valid."""
    assert handshake.problem(GOOD) is None


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"REQUEST_METHOD": "POST"}, "400", "GET"),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, "426", "HTTP/1.1"),
        ({"HTTP_UPGRADE": "h2c"}, "426", "Upgrade: websocket"),
        ({"HTTP_CONNECTION": "keep-alive"}, "426", "reverse proxy"),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, "426", "13"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "!!!"}, "400", "Sec-WebSocket-Key"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "ü"}, "400", "Sec-WebSocket-Key"),
        ({"HTTP_SEC_WEBSOCKET_KEY": "c2hvcnQ="}, "400", "16 bytes"),
        ({"CONTENT_LENGTH": "5"}, "400", "body"),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, "400", "body"),
    ],
)
def test_each_problem_has_a_status_and_says_what_it_is(
    changed: dict[str, str], status: str, says: str
) -> None:
    """Each problem has a status and a body that says what to change."""
    found = handshake.problem(GOOD | changed)
    assert found is not None
    assert found.status.startswith(status)
    assert says in found.message


@pytest.mark.parametrize("name", [name for name in GOOD if name.startswith("HTTP_")])
def test_no_header_is_dispensable(name: str) -> None:
    """Each required header is reported when it is missing."""
    assert handshake.problem({key: value for key, value in GOOD.items() if key != name})


def test_accept_value_is_the_one_of_the_standard() -> None:
    """The accept value matches the example of RFC 6455 §1.3."""
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in handshake.response("dGhlIHNhbXBsZSBub25jZQ==")
