"""Tests of the replay client with a clock that the test moves."""

from __future__ import annotations

from bus.replay import Position, Snapshot, parse_replay_reply, parse_replay_request, replay_reply
from bus.replay_client import ANSWER_SECONDS, ReplayClient

TOPIC = b"container/1/log"
TURN = 1.0


def _client() -> ReplayClient:
    return ReplayClient(TOPIC, TURN)


def _answer(request: list[bytes], epoch: int = 1, seq: int = 5) -> Snapshot:
    """Return a broker's answer."""
    return parse_replay_reply(replay_reply(parse_replay_request(request), (epoch, 1, seq), ()))


def test_an_answer_frees_the_client() -> None:
    """One request is open at a time; a quiet topic is checked again after a turn."""
    client = _client()
    assert client.next_step(missing=True) <= 10.0
    request = client.ask(10.0, Position(1, 3))
    assert parse_replay_request(request)[:2] == (TOPIC, Position(1, 3))
    assert not client.free(10.1)
    assert not client.answered
    assert client.take(_answer(request), 10.2)
    assert client.answered
    assert client.free(10.2)
    assert client.next_step(missing=True) == 10.2
    assert client.next_step(missing=False) == 10.2 + TURN
    client.hear(10.7)
    assert client.next_step(missing=False) == 10.7 + TURN


def test_a_lost_request_is_repeated() -> None:
    """An unanswered request is repeated after a bounded time."""
    client = _client()
    client.ask(10.0, Position())
    for missing in (True, False):
        assert client.next_step(missing=missing) == 10.0 + ANSWER_SECONDS
    assert not client.free(9.9 + ANSWER_SECONDS)
    assert client.free(10.0 + ANSWER_SECONDS)


def test_a_client_in_a_hurry_asks_again() -> None:
    """A request may have been lost with an earlier broker, so it is not waited for."""
    client = _client()
    client.ask(10.0, Position(1, 3))
    client.hurry()
    assert client.free(10.1)
    assert client.next_step(missing=False) < 10.1
    assert client.take(_answer(client.ask(10.1, Position(1, 3))), 10.2)
    assert client.next_step(missing=False) == 10.2 + TURN


def test_a_late_answer_is_welcome_and_proves_nothing() -> None:
    """A late answer is used, but neither it nor the next answer proves a loss."""
    client = _client()
    client.take(_answer(client.ask(0.0, Position())), 0.1)
    first = client.ask(5.0, Position())
    second = client.ask(5.0 + ANSWER_SECONDS, Position())
    assert client.take(_answer(first), 7.1)
    assert not client.settled
    assert not client.free(7.1)
    assert client.take(_answer(second), 7.2)
    assert not client.settled
    assert client.free(7.2)
    assert client.take(_answer(client.ask(8.2, Position())), 8.3)
    assert client.settled


def test_an_answer_is_settled_if_it_was_asked_for_a_while_after_the_last() -> None:
    """An answer is settled only if it was requested a while after the previous one."""
    client = _client()
    settled = []
    for asked, taken in ((0.0, 0.1), (0.1, 0.2), (1.1, 1.2), (2.1, 9.0), (9.1, 9.2)):
        assert client.take(_answer(client.ask(asked, Position())), taken)
        settled.append(client.settled)
    assert settled == [False, False, True, True, False]


def test_the_answer_to_another_client_is_left() -> None:
    """Answers to other clients' requests are ignored, as are those without a number."""
    before, client, after = _client(), _client(), _client()
    requests = [before.ask(0.0, Position()), after.ask(0.0, Position())]
    mine = client.ask(0.0, Position())
    for request in requests:
        assert not client.take(_answer(request), 0.1)
    assert not client.take(Snapshot(TOPIC, 1, 1, 5, []), 0.1)
    assert not client.answered
    assert client.take(_answer(mine), 0.2)


def test_a_restarted_broker_is_asked_again_when_it_is_there() -> None:
    """A restarted broker is asked again once it is there, and answers with another epoch."""
    client = _client()
    client.ask(10.0, Position(1, 5))
    client.withdraw()
    assert client.free(10.1)
    assert client.next_step(missing=True) <= 10.1
    assert client.take(_answer(client.ask(10.1, Position(1, 5)), epoch=2, seq=1), 10.2)


def test_an_unknown_topic_is_asked_for_once_in_a_turn() -> None:
    """An unknown topic is requested once per turn, because its collector has to start first."""
    client = _client()
    assert client.take(_answer(client.ask(10.0, Position()), epoch=0, seq=0), 10.1)
    assert client.next_step(missing=True) == 10.1 + TURN
    assert client.next_step(missing=False) == 10.1 + TURN
