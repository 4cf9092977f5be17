"""Tests of the answer of a reader, as the server takes it frame by frame."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from select import select
from struct import pack
from typing import Any, NamedTuple

import gevent
import gevent.socket
import msgspec
import pytest

from api.http.readers import ReaderAnswer
from mist.errors import BusError, StoreError
from mist.read_request import ReadRequest, frame
from mist.settings import ReaderSettings
from tests.support.http_api import SETTINGS, Api
from tests.support.reader_socket import END, HEAD, ReaderSocket, reader_socket
from tests.support.wait import wait_until

_REQUEST = ReadRequest(user="ada@example.com", container="box")


class Rig(NamedTuple):
    """An application, its readers, and a client's connection."""

    api: Api
    readers: ReaderSocket
    server_end: Any
    client: socket.socket

    def answer(self) -> ReaderAnswer:
        """Request lines."""
        return ReaderAnswer(self.api.services, _REQUEST)

    def body(
        self,
        answer: ReaderAnswer | None = None,
        allowed: Callable[[], bool] = lambda: True,
        seconds: float = 60.0,
        **environ: Any,
    ) -> Iterator[bytes]:
        """Return the body of an answer, by default of a new one."""
        answer = answer or self.answer()
        environ = {"mist.client": self.server_end, "mist.send_head": lambda: None} | {
            f"mist.{name}": value for name, value in environ.items()
        }
        return answer.body(environ, allowed, seconds)


@pytest.fixture
def rig(api: Api) -> Iterator[Rig]:
    """A client whose reader has one line and then waits."""
    ours, theirs = socket.socketpair()
    server_end = gevent.socket.socket(socket.AF_UNIX, fileno=ours.detach())
    with reader_socket(api.services.paths.readers) as readers, theirs:
        readers.answer, readers.stays = HEAD + frame(b"line\n"), True
        yield Rig(api, readers, server_end, theirs)
        server_end.close()


def test_head_is_sent_before_the_first_line(rig: Rig) -> None:
    """A search may take long until its first hit, but the client knows that it runs."""
    sent: list[bytes] = []
    body = rig.body(send_head=lambda: sent.append(b"head"))
    assert not sent
    assert next(body) == b"line\n"
    assert sent == [b"head"]
    body.close()  # type: ignore[attr-defined]  # a generator


def test_reader_ends_with_its_answer(rig: Rig) -> None:
    """Closing the body, as the server does when sending fails, ends the reader."""
    answer = rig.answer()  # a reference, so that nothing is closed by accident
    body = rig.body(answer)
    next(body)
    body.close()  # type: ignore[attr-defined]  # a generator
    assert rig.readers.client_left.wait(10)


def test_client_that_leaves_ends_the_reader(rig: Rig) -> None:
    """A search without hits would not notice a client that has left."""
    body = rig.body()
    next(body)
    rig.client.close()
    wait_until(rig.readers.client_left.is_set, "the reader's end", 10, sleep=gevent.sleep)
    with pytest.raises(BrokenPipeError):
        next(body)


def test_client_that_is_reset_ends_the_reader(rig: Rig) -> None:
    """A reset connection is as good as a closed one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    client: Any = gevent.socket.socket(socket.AF_INET, fileno=ours.detach())
    body = rig.body(client=client)
    next(body)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))  # a reset
    theirs.close()
    wait_until(rig.readers.client_left.is_set, "the reader's end", 10, sleep=gevent.sleep)
    body.close()  # type: ignore[attr-defined]  # a generator
    client.close()


def test_client_that_leaves_after_its_next_request_ends_the_reader(rig: Rig) -> None:
    """A request that waits in the socket does not hide that the client has left."""
    body = rig.body()
    next(body)
    rig.client.send(b"GET")
    gevent.sleep(0.02)
    rig.client.close()
    wait_until(rig.readers.client_left.is_set, "the reader's end", 10, sleep=gevent.sleep)
    body.close()  # type: ignore[attr-defined]  # a generator


def test_right_that_is_lost_ends_a_search_without_hits(rig: Rig) -> None:
    """The right is checked although no line is sent."""
    answers = [False, True]
    body = rig.body(allowed=answers.pop, seconds=0.05)
    assert next(body) == b"line\n"
    wait_until(rig.readers.client_left.is_set, "the reader's end", 10, sleep=gevent.sleep)
    assert answers == []
    with pytest.raises(BrokenPipeError, match="broken off"):
        next(body)


def test_right_that_is_lost_cuts_off_a_client_that_takes_nothing(rig: Rig) -> None:
    """The server, which waits for the client, sees the connection's end."""
    body = rig.body(allowed=lambda: False, seconds=0.05)
    next(body)
    rig.client.settimeout(0)
    ended = lambda: select([rig.client], [], [], 0)[0] and rig.client.recv(1) == b""  # noqa: E731
    wait_until(ended, "the client's connection to end", 10, sleep=gevent.sleep)
    wait_until(rig.readers.client_left.is_set, "the reader's end", 10, sleep=gevent.sleep)
    body.close()  # type: ignore[attr-defined]  # a generator


def test_right_is_checked_once_in_a_while(rig: Rig) -> None:
    """A check costs queries, so it is not made for every frame; a failing store ends nothing."""
    checks = []

    def allowed() -> bool:
        checks.append(1)
        raise StoreError("locked")

    rig.readers.answer = HEAD + frame(b"line\n") * 1_000 + END
    body = rig.body(allowed=allowed, seconds=0.1)
    next(body)
    wait_until(lambda: len(checks) == 2, "two checks", 10, sleep=gevent.sleep)
    assert len(list(body)) == 999
    assert len(checks) < 100


def test_client_that_sends_more_is_still_served(rig: Rig) -> None:
    """The next request of a client is not a sign that it has left."""
    rig.readers.answer = HEAD + frame(b"line\n") + END
    body = rig.body()
    next(body)
    rig.client.send(b"GET")
    gevent.sleep(0.02)
    assert not rig.readers.client_left.wait(0.1)
    assert list(body) == []


def test_client_that_takes_no_line_is_cut_off(rig: Rig) -> None:
    """A client without progress holds the reader back only so long."""
    settings = msgspec.structs.replace(SETTINGS, reader=ReaderSettings(stall_seconds=0.1))
    body = rig._replace(api=rig.api.with_(settings=settings)).body()
    next(body)
    with pytest.raises(BrokenPipeError, match="broken off"):
        gevent.sleep(10)
    body.close()  # type: ignore[attr-defined]  # a generator


def test_failed_request_leaves_no_descriptor(rig: Rig) -> None:
    """A reader that does not answer costs no descriptor."""
    rig.readers.answer, rig.readers.stays = b"", False
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(BusError, match="No reader answers"):
            ReaderAnswer(rig.api.services, _REQUEST)
    assert len(os.listdir("/proc/self/fd")) <= before
