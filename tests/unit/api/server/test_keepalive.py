"""Tests of keepalive, stalls and the end of a worker."""

from __future__ import annotations

import gevent

from api.websocket.frames import Opcode, text_frame
from tests.support.client_frames import close, frame
from tests.support.connections import MakePair, Source
from tests.support.wait import wait_until


def test_every_connection_is_pinged_once_in_a_period(connect: MakePair) -> None:
    """Every connection is pinged once per period, and one that answers stays open."""
    pair = connect(ping_seconds=0.05)
    runner = gevent.spawn(pair.registry.run)
    for _ in range(5):
        assert pair.peer.frame() == (Opcode.PING, b"")
        pair.peer.send(frame(10))
    runner.kill()
    assert not pair.connection.closing


def test_silent_peer_is_closed_after_two_pings(connect: MakePair) -> None:
    """A client that answers neither of two pings is closed."""
    pair = connect(ping_seconds=0.05, close_seconds=0.05)
    runner = gevent.spawn(pair.registry.run)
    opcodes = []
    while (got := pair.peer.frame())[0] == Opcode.PING:
        opcodes.append(got[0])
    runner.kill()
    assert got == (Opcode.CLOSE, b"\x03\xf3no answer to two pings")
    assert len(opcodes) == 2
    wait_until(lambda: pair.connection.closed, "the end", sleep=gevent.sleep)


def test_any_frame_is_a_sign_of_life(connect: MakePair) -> None:
    """Any frame counts as a sign of life, so a client that sends messages need not send pongs."""
    pair = connect(ping_seconds=0.05)
    runner = gevent.spawn(pair.registry.run)
    for _ in range(6):
        pair.peer.frame()
        pair.peer.send(frame(1, b"x"))
    runner.kill()
    assert not pair.connection.closing


def test_no_progress_is_aborted(connect: MakePair) -> None:
    """A socket that accepts nothing for ``stall_seconds`` is aborted."""
    pair = connect(stall_seconds=0.05)
    pair.connection.source = Source([text_frame(b"x" * 100_000)] * 10)
    pair.connection.flush()
    assert pair.connection.blocked

    def aborted() -> bool:
        pair.registry.look_at_blocked()
        return bool(pair.connection.closed)

    wait_until(aborted, "the end", sleep=gevent.sleep)


def test_slow_progress_is_progress(connect: MakePair) -> None:
    """Any progress counts, even less than the socket needs to become writable again."""
    pair = connect(stall_seconds=0.2)
    pair.connection.source = Source([text_frame(b"x" * 1000)] * 5000)
    pair.connection.flush()
    stalled = connect(stall_seconds=0.6)
    stalled.connection.source = Source([text_frame(b"x" * 1000)] * 5000)
    stalled.connection.flush()

    def the_stalled_one_is_aborted() -> bool:
        pair.peer.sock.recv(2_000)
        for each in (pair, stalled):
            each.registry.look_at_blocked()
        return stalled.connection.closed

    wait_until(the_stalled_one_is_aborted, "three times the limit", sleep=gevent.sleep)
    assert not pair.connection.closed


def test_blocked_connection_is_not_called_silent(connect: MakePair) -> None:
    """A blocked client cannot have read the pings; the stall limit applies to it instead."""
    pair = connect(ping_seconds=0.01)
    pair.connection.source = Source([text_frame(b"x" * 100_000)] * 10)
    pair.connection.flush()
    pair.connection.unanswered = 100
    pair.registry.visit(pair.registry.connections)
    assert not pair.connection.closing


def test_many_connections_share_the_slots(connect: MakePair) -> None:
    """Pings are spread evenly over the period."""
    registry = connect(ping_seconds=30).registry
    for _ in range(59):
        registry.add(connect().connection)
    counts = [len(slot) for slot in registry._wheel]
    assert counts == [2] * 30


def test_finish_all_waits_for_what_is_pending(connect: MakePair) -> None:
    """Clients get their pending lines and then the code before the worker ends."""
    pair = connect()
    pair.connection.source = Source([text_frame(b"last line")])
    pair.registry.finish_all(1012, "server reloads")
    assert pair.peer.frame()[1] == b"last line"
    assert pair.peer.close_frame() == (1012, "server reloads")
    assert pair.registry.connections
    pair.peer.send(close(1012))
    assert pair.peer.at_end()
    pair.peer.sock.close()
    wait_until(lambda: not pair.registry.connections, "its removal", sleep=gevent.sleep)


def test_close_all_ends_those_with_too_much_pending(connect: MakePair) -> None:
    """An endless source does not keep a worker from stopping."""

    class Endless:
        def take(self) -> list[bytes]:
            return [text_frame(b"x" * 1000)]

    pair = connect()
    pair.connection.source = Endless()
    pair.registry.finish_all(1001, "server stops")
    pair.peer.frame()
    pair.registry.close_all()
    while (got := pair.peer.frame())[0] == Opcode.TEXT:
        pass
    assert got == (Opcode.CLOSE, b"\x03\xe9server stops")
    pair.registry.abort_all()
    assert not pair.registry.connections
