"""Tests of one connection: the order of output, the input, and how it ends."""

from __future__ import annotations

import time

import gevent
import pytest

from api.websocket.connection import Connection
from api.websocket.frames import Opcode, text_frame
from tests.support.client_frames import close, frame
from tests.support.connections import MakePair, Source
from tests.support.wait import wait_until

BIG = b"x" * 20_000


def test_source_is_sent_in_its_order(connect: MakePair) -> None:
    """A source's buffers are sent in order, and an empty list ends the flush."""
    pair = connect()
    turns = [[text_frame(b"a")], [text_frame(b"b"), text_frame(b"c") + text_frame(b"d")]]
    pair.connection.source = Source(*turns)
    pair.connection.flush()
    assert [pair.peer.frame()[1] for _ in range(4)] == [b"a", b"b", b"c", b"d"]


def test_more_buffers_than_one_call_takes(connect: MakePair) -> None:
    """A list longer than a system call's vector is sent whole."""
    pair = connect()
    pair.connection.source = Source([text_frame(b"%d" % number) for number in range(3000)])
    pair.connection.flush()
    assert [pair.peer.frame()[1] for _ in range(3000)] == [b"%d" % number for number in range(3000)]


def test_full_socket_blocks_and_goes_on_by_itself(connect: MakePair) -> None:
    """A full socket resumes without another flush, and every byte arrives once."""
    pair = connect()
    pair.connection.source = Source([text_frame(BIG)] * 50, [text_frame(b"last")])
    pair.connection.flush()
    assert pair.connection.blocked
    assert pair.connection in pair.registry.blocked
    assert [pair.peer.frame()[1] for _ in range(50)] == [BIG] * 50
    assert pair.peer.frame()[1] == b"last"
    assert not pair.connection.blocked
    assert not pair.registry.blocked


def test_the_list_of_a_source_is_not_changed(connect: MakePair) -> None:
    """A source's list is not changed, because all clients of a topic share it."""
    pair = connect()
    shared = [text_frame(BIG)] * 10
    pair.connection.source = Source(shared)
    pair.connection.flush()
    pair.connection.ping()
    for _ in range(11):
        pair.peer.frame()
    assert shared == [text_frame(BIG)] * 10


def test_control_frame_goes_in_at_the_next_boundary(connect: MakePair) -> None:
    """A ping waits for the frame being written and for no other."""
    pair = connect()
    pair.connection.source = Source([text_frame(BIG) * 20])
    pair.connection.flush()
    pair.connection.ping()
    opcodes = [pair.peer.frame()[0] for _ in range(21)]
    assert opcodes.index(Opcode.PING) < 20


def test_only_the_newest_pong_waits(connect: MakePair) -> None:
    """Only the newest pong waits, so pings to a blocked socket use no memory (RFC 6455 §5.5.3)."""
    pair = connect()
    pair.connection.source = Source([text_frame(BIG) * 3])
    pair.connection.flush()
    assert pair.connection.blocked
    received: list[str | bytes] = []
    pair.connection.on_message = received.append
    pair.peer.send(b"".join(frame(9, b"%d" % number) for number in range(100)) + frame(1, b"end"))
    wait_until(lambda: received, "the message after the pings", sleep=gevent.sleep)
    answers = [pair.peer.frame() for _ in range(4)]
    assert [payload for opcode, payload in answers if opcode == Opcode.PONG] == [b"99"]


def test_finish_sends_what_the_source_holds_first(connect: MakePair) -> None:
    """The close frame comes after the source's last line."""
    pair = connect()
    pair.connection.source = Source([text_frame(BIG)] * 5, [text_frame(b"end")])
    pair.connection.finish(4409, "not running")
    assert [pair.peer.frame()[1] for _ in range(6)][-1] == b"end"
    assert pair.peer.close_frame() == (4409, "not running")


def test_close_drops_what_the_source_holds(connect: MakePair) -> None:
    """The frame being written is completed; the close frame follows at once."""
    pair = connect()
    pair.connection.source = Source([text_frame(BIG)] * 50)
    pair.connection.flush()
    pair.connection.close(1012, "reload")
    received = 0
    while (got := pair.peer.frame())[0] == Opcode.TEXT:
        received += 1
    assert got == (Opcode.CLOSE, b"\x03\xf4reload")
    assert received < 50


def test_closing_handshake_ends_the_connection(connect: MakePair) -> None:
    """After the closing handshake both sides end, and ``on_close`` is called once."""
    pair = connect()
    gone: list[Connection] = []
    pair.connection.on_close = gone.append
    pair.connection.close(4401, "Session expired")
    assert pair.peer.close_frame() == (4401, "Session expired")
    assert not pair.connection.closed
    pair.peer.send(close(4401))
    assert pair.peer.at_end()
    pair.peer.sock.close()
    wait_until(lambda: gone, "on_close", sleep=gevent.sleep)
    assert gone == [pair.connection]
    assert pair.connection.closed
    assert not pair.registry.connections


def test_peers_code_is_echoed(connect: MakePair) -> None:
    """The peer's close code is echoed (RFC 6455 §5.5.1), but not its reason."""
    pair = connect()
    pair.peer.send(close(4001, b"x" * 123))
    assert pair.peer.close_frame() == (4001, "")
    assert pair.peer.at_end()


def test_close_without_a_code_is_answered_without_one(connect: MakePair) -> None:
    """An empty close frame is answered with an empty one."""
    pair = connect()
    pair.peer.send(frame(8))
    assert pair.peer.close_frame() == (None, "")
    assert pair.peer.at_end()


def test_silent_peer_ends_the_closing_handshake_late(connect: MakePair) -> None:
    """A silent peer has ``close_seconds`` to complete the closing handshake."""
    pair = connect(close_seconds=0.2)
    began = time.monotonic()
    pair.connection.close()
    assert pair.peer.close_frame() == (1000, "")
    assert not pair.connection.closed
    wait_until(lambda: pair.connection.closed, "the end", seconds=5, sleep=gevent.sleep)
    # libev reads its clock once per loop iteration, so a timer may fire a few milliseconds early.
    assert time.monotonic() - began > 0.15
    assert pair.peer.at_end()


def test_slow_reader_gets_everything_before_the_close_frame(connect: MakePair) -> None:
    """The time limit of the closing handshake starts when the close frame has been written."""
    pair = connect(close_seconds=0.05)
    pair.connection.source = Source([text_frame(BIG)] * 20)
    pair.connection.finish(1000)
    sooner = connect(close_seconds=0.05)
    sooner.connection.close()
    wait_until(lambda: sooner.connection.closed, "a later deadline", sleep=gevent.sleep)
    assert [pair.peer.frame()[1] for _ in range(20)] == [BIG] * 20
    assert pair.peer.close_frame() == (1000, "")
    wait_until(lambda: pair.connection.closed, "the end", sleep=gevent.sleep)


def test_violation_is_answered_and_nothing_more_is_read(connect: MakePair) -> None:
    """The close frame states the violation; later input is drained without parsing."""
    pair = connect()
    pair.peer.send(frame(1, b"x", masked=False) + frame(9, b"not answered"))
    code, reason = pair.peer.close_frame()
    assert code == 1002
    assert "mask" in reason
    assert pair.peer.at_end()


def test_peer_that_vanishes_is_noticed(connect: MakePair) -> None:
    """A peer that ends the TCP connection without a close frame is noticed."""
    pair = connect()
    gone: list[Connection] = []
    pair.connection.on_close = gone.append
    pair.peer.sock.close()
    wait_until(lambda: gone, "on_close", sleep=gevent.sleep)


def test_writing_to_a_peer_that_vanished_tells_later(connect: MakePair) -> None:
    """``on_close`` never runs within flush, so a caller can safely loop over clients."""
    pair = connect()
    gone: list[Connection] = []
    pair.connection.on_close = gone.append
    pair.peer.sock.close()
    pair.connection.source = Source([text_frame(b"x")])
    pair.connection.flush()
    assert pair.connection.closed
    assert not gone
    wait_until(lambda: gone, "on_close", sleep=gevent.sleep)


def test_on_close_that_comes_late_is_called(connect: MakePair) -> None:
    """``on_close`` is called even if it is set after the client has gone."""
    pair = connect()
    pair.connection.abort()
    gevent.sleep(0.01)
    gone: list[Connection] = []
    pair.connection.on_close = gone.append
    wait_until(lambda: gone, "on_close", sleep=gevent.sleep)


def test_failing_source_closes_its_own_client_only(connect: MakePair) -> None:
    """A failing source closes its own client with 1011 and raises nothing in flush."""

    class Broken:
        def take(self) -> list[bytes]:
            raise OSError("the disk")

    pair = connect()
    pair.connection.source = Broken()
    pair.connection.flush()
    assert pair.peer.close_frame() == (1011, "internal error")


def test_bytes_behind_the_handshake_count(connect: MakePair) -> None:
    """Bytes that a client sends without waiting for the handshake's answer are not lost."""
    pair = connect(early=frame(9, b"early"))
    assert pair.peer.frame() == (Opcode.PONG, b"early")


def test_messages_are_handed_on_in_their_order(connect: MakePair) -> None:
    """Messages are handed on in order, including those that follow the handshake in one read."""
    pair = connect(early=frame(1, b"early"))
    received: list[str | bytes] = []
    pair.connection.on_message = received.append
    pair.peer.send(frame(1, b"a") + frame(2, b"b"))
    pair.peer.send(frame(1, b"c", final=False) + frame(9) + frame(0, b"d") + close(1000))
    assert pair.peer.frame()[0] == Opcode.PONG
    assert pair.peer.close_frame() == (1000, "")
    assert received == ["early", "a", b"b", "cd"]


def test_a_handler_that_fails_closes_its_own_client(connect: MakePair) -> None:
    """A failing handler closes its client with 1011 and gets no more messages."""
    pair = connect()
    received: list[str | bytes] = []

    def fail(message: str | bytes) -> None:
        received.append(message)
        raise ValueError("a bug")

    pair.connection.on_message = fail
    pair.peer.send(frame(1, b"a") + frame(1, b"b"))
    assert pair.peer.close_frame() == (1011, "internal error")
    assert received == ["a"]


def test_a_violation_waits_for_what_is_pending(connect: MakePair) -> None:
    """Pending answers are sent before the close frame, even through a full socket."""
    pair = connect()
    source = Source([text_frame(BIG)] * 3)
    pair.connection.source = source
    pair.connection.flush()
    assert pair.connection.blocked

    def answer(message: str | bytes) -> None:
        source.give([text_frame(b"answer to " + str(message).encode())])
        pair.connection.flush()

    pair.connection.on_message = answer
    pair.peer.send(frame(9, b"ping") + frame(1, b"a") + frame(5) + frame(1, b"b"))
    wait_until(lambda: pair.connection.closing, "the close frame", sleep=gevent.sleep)
    received = [pair.peer.frame() for _ in range(5)]
    assert [got for got in received if got[0] == Opcode.PONG] == [(Opcode.PONG, b"ping")]
    texts = [payload for opcode, payload in received if opcode == Opcode.TEXT]
    assert texts == [BIG, BIG, BIG, b"answer to a"]
    assert pair.peer.close_frame()[0] == 1002
    assert pair.peer.at_end()


def test_a_violation_ends_a_source_without_end(connect: MakePair) -> None:
    """A violation ends an endless source: the close frame waits only for pending data."""

    class Endless:
        def take(self) -> list[bytes]:
            return [text_frame(BIG)]

    pair = connect()
    pair.connection.source = Endless()
    pair.connection.flush()
    pair.peer.send(frame(5))
    wait_until(lambda: pair.connection.closing, "the close frame", sleep=gevent.sleep)
    while (got := pair.peer.frame())[0] == Opcode.TEXT:
        pass
    assert got[0] == Opcode.CLOSE


def test_messages_that_nobody_wants_are_dropped(connect: MakePair) -> None:
    """Messages without a handler are dropped instead of piling up."""
    pair = connect()
    pair.peer.send(frame(1, b"x" * 4000) * 50 + frame(9, b"still here"))
    assert pair.peer.frame() == (Opcode.PONG, b"still here")


@pytest.mark.parametrize("closing", ["finish", "close"])
def test_nothing_follows_the_close_frame(connect: MakePair, closing: str) -> None:
    """Nothing follows the close frame: no message, ping or second close (RFC 6455 §5.5.1)."""
    pair = connect()
    getattr(pair.connection, closing)(1000)
    pair.connection.source = Source([text_frame(b"late")])
    pair.connection.flush()
    pair.connection.ping()
    pair.connection.close(1011)
    assert pair.peer.close_frame() == (1000, "")
    pair.peer.send(close(1000))
    assert pair.peer.at_end()
