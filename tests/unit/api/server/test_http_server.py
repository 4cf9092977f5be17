"""Tests of which connections the server accepts, and when."""

from __future__ import annotations

import time
from typing import Any

import gevent
import pytest
from structlog.testing import capture_logs

from api.server.accept_balance import AcceptShare
from tests.support.http_server import GET, POST, UPGRADE, MakeServing
from tests.support.wait import wait_until

HOLDERS = {
    "nothing": b"",
    "half a head": GET[:-2],
    "half a body": POST + b"Content-Length: 10\r\n\r\n123",
    "reads nothing": b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
}


def test_connections_of_a_network_are_bounded(serve: MakeServing) -> None:
    """A refused client is told why, and may come back once another one has left."""
    serving = serve(server={"connections_per_address": 2, "forwarded_allow_ips": ""})
    held = [serving.client() for _ in range(2)]
    with capture_logs() as logs:
        refused = serving.client(GET).rest()
    assert refused.startswith(b"HTTP/1.1 429 ")
    assert b"Your network has 2 connections; close some of them" in refused
    assert [each["event"] for each in logs] == ["request_refused"]
    assert serving.client(GET, "127.0.0.2").head().startswith("HTTP/1.1 200 ")
    held.pop().close()
    wait_until(lambda: len(serving.server.pool) == 2, "the end", 10, sleep=gevent.sleep)
    assert serving.client(GET).head().startswith("HTTP/1.1 200 ")


def test_a_refused_client_that_sends_nothing_is_not_awaited(serve: MakeServing) -> None:
    """The refusal comes without a request, too."""
    serving = serve(server={"connections_per_address": 1, "forwarded_allow_ips": ""})
    serving.client()
    begun = time.monotonic()
    assert serving.client().head().startswith("HTTP/1.1 429 ")
    assert time.monotonic() - begun < 5


def test_networks_without_connections_are_forgotten(serve: MakeServing) -> None:
    """The number of networks has no limit, so an empty one must cost nothing."""
    serving = serve(server={"forwarded_allow_ips": ""})
    clients = [serving.client(GET, f"127.0.0.{last}") for last in (1, 2, 2)]
    for client in clients:
        client.head()
    assert serving.server._places == {"127.0.0.1": 1, "127.0.0.2": 2}
    for client in clients:
        client.close()
    wait_until(lambda: not len(serving.server.pool), "the end", 10, sleep=gevent.sleep)
    assert not serving.server._places


def test_a_proxy_has_the_connections_of_many_clients(serve: MakeServing) -> None:
    """A trusted proxy is not bounded."""
    serving = serve(server={"connections_per_address": 1, "forwarded_allow_ips": "127.0.0.9"})
    for _ in range(3):
        assert serving.client(GET, "127.0.0.9").head().startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize("data", HOLDERS.values(), ids=HOLDERS)
def test_waiting_clients_lose_their_places_to_others(serve: MakeServing, data: bytes) -> None:
    """While all places are taken, a client that keeps the server waiting is dropped."""
    serving = serve(places=2, server={"full_patience_seconds": 0.2})
    for _ in range(3):
        serving.client(data)
    begun = time.monotonic()
    assert serving.client(GET).head().startswith("HTTP/1.1 200 ")
    assert time.monotonic() - begun < 8  # the other limits are 10 seconds and more


def test_a_client_is_not_dropped_while_the_application_works(serve: MakeServing) -> None:
    """The server drops only clients for which it waits."""
    serving = serve(places=1, server={"full_patience_seconds": 0.05})
    busy = serving.client(b"GET /slow?seconds=0.5 HTTP/1.1\r\nHost: x\r\n\r\n")
    busy.head()
    other = serving.client(GET)
    assert busy.exactly(10) == b"begun done"
    assert other.head().startswith("HTTP/1.1 200 ")


def test_a_full_server_has_some_patience(serve: MakeServing) -> None:
    """A client that has waited only briefly keeps its place."""
    serving = serve(places=1, server={"full_patience_seconds": 5.0})
    first = serving.client()
    wait_until(lambda: len(serving.server.pool), "the connection", 10, sleep=gevent.sleep)
    serving.client(GET)
    gevent.sleep(0.2)
    first.send(GET)
    assert first.head().startswith("HTTP/1.1 200 ")


def test_progress_begins_a_wait_anew(serve: MakeServing) -> None:
    """The longest wait comes first; a handler that was dropped stays so."""
    server = serve().server
    first: Any = object()
    second: Any = object()
    with server.waiting_for(first), server.waiting_for(second):
        assert list(server._waiting) == [first, second]
        server.note_progress(first)
        assert list(server._waiting) == [second, first]
        del server._waiting[first]
        server.note_progress(first)
        assert list(server._waiting) == [second]
    assert not server._waiting


def test_load_is_requests_and_websockets(serve: MakeServing) -> None:
    """Both count towards the balance between workers."""
    serving = serve()
    serving.client(UPGRADE % b"/ws/idle").head()
    serving.client(GET).head()
    other = AcceptShare(1)
    other.publish(0)
    assert serving.server.publish_load() == 2
    assert serving.share.lead(2) == 2
    other.withdraw()


def test_a_worker_that_is_ahead_pauses_and_then_accepts(
    serve: MakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go first, but they may be unable to."""
    serving = serve()
    pauses: list[float] = []
    pause = serving.server._pause_accepting

    def note(seconds: float) -> None:
        pauses.append(seconds)
        pause(seconds)

    monkeypatch.setattr(serving.server, "_pause_accepting", note)
    other = AcceptShare(1)
    other.publish(0)
    try:
        for _ in range(8):
            assert serving.client(GET).head().startswith("HTTP/1.1 200 ")
        assert not pauses
        for _ in range(3):
            assert serving.client(GET).head().startswith("HTTP/1.1 200 ")
    finally:
        other.withdraw()
    assert len(pauses) == 2


def test_no_connection_is_accepted_after_the_listener_has_closed(serve: MakeServing) -> None:
    """A new client is refused by the kernel."""
    serving = serve()
    serving.server.stop_accepting_requests()
    with pytest.raises(ConnectionRefusedError):
        serving.client()
