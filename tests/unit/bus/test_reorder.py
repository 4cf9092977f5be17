"""The order of one topic: duplicates, gaps, replays, epochs."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from bus import wire
from bus.reorder import Gap, ReorderBuffer
from bus.replay import Position, Snapshot
from bus.wire import Flag, Header, Kind, Message
from mist import clock, messages

TOPIC = b"container/1/log"
EPOCH = 100


def _line(number: int) -> bytes:
    """The log message of a line whose time stamp grows with its number."""
    return messages.log(clock.rfc3339(number * 1_000), f"line {number}", "stdout")


def _log(seq: int, *lines: int, epoch: int = EPOCH, flags: Flag = wire.NO_FLAGS) -> Message:
    body = b"\n".join(_line(number) for number in lines)
    return Message(TOPIC, Header(Kind.LOG, epoch, epoch, seq, len(lines), flags), body)


def _status(seq: int, epoch: int = EPOCH) -> Message:
    return Message(TOPIC, Header(Kind.STATUS, epoch, epoch, seq), b"{}")


def _snapshot(carried: Iterable[Message]) -> Snapshot:
    kept = list(carried)
    if not kept:
        return Snapshot(TOPIC, 0, 0, 0, [])
    last = kept[-1].header
    return Snapshot(TOPIC, last.epoch, last.term, last.last, kept)


def _lines(passed: Iterable[Message | Gap]) -> list[str]:
    """The time stamps of what was passed on; a gap as its length."""
    found = []
    for each in passed:
        if isinstance(each, Gap):
            found.append(f"gap {each.lost}")
        elif each.header.kind is Kind.LOG:
            found += [messages.log_timestamp(line) for line in each.body.split(b"\n")]
    return found


def _feed(sequence: ReorderBuffer, *arrived: Message) -> list[str]:
    return [each for message in arrived for each in _lines(sequence.feed(message))]


def _expected(*numbers: int) -> list[str]:
    return [clock.rfc3339(number * 1_000) for number in numbers]


def _begun(*carried: Message) -> ReorderBuffer:
    sequence = ReorderBuffer()
    list(sequence.fill(_snapshot(carried), settled=False))
    return sequence


def test_nothing_passes_before_the_first_replay() -> None:
    """What is live waits for what was there before it."""
    sequence = ReorderBuffer()
    assert sequence.missing
    assert _lines(sequence.feed(_log(3, 3))) == []
    assert _lines(sequence.fill(_snapshot([_log(1, 1), _log(2, 2)]), settled=False)) == _expected(
        1, 2, 3
    )
    assert sequence.position == Position(EPOCH, 3)


def test_a_buffer_that_has_lost_its_beginning_is_no_gap() -> None:
    """Who comes late does not wait for what the broker has forgotten."""
    assert _lines(ReorderBuffer().fill(_snapshot([_log(50, 50)]), settled=False)) == _expected(50)


def test_live_messages_pass_at_once() -> None:
    """In order, nothing is held."""
    sequence = _begun(_log(1, 1))
    assert _feed(sequence, _log(2, 2, 3), _log(4, 4)) == _expected(2, 3, 4)
    assert not sequence.missing


def test_a_first_live_message_that_is_not_the_topics_first_is_held() -> None:
    """When the subscription began nobody knew the topic; what came before it is asked for."""
    sequence = ReorderBuffer()
    assert _lines(sequence.fill(_snapshot([]), settled=False)) == []
    assert _feed(sequence, _log(3, 3)) == []
    assert sequence.missing
    rest = [_log(number, number) for number in (1, 2, 3)]
    assert _lines(sequence.fill(_snapshot(rest), settled=False)) == _expected(1, 2, 3)


def test_a_repeated_message_is_dropped() -> None:
    """A collector sends again to a new broker what the old one may have forwarded."""
    sequence = _begun(_log(1, 1), _log(2, 2))
    assert _feed(sequence, _log(1, 1), _log(2, 2), _log(3, 3)) == _expected(3)


def test_a_gap_asks_for_a_replay_that_closes_it() -> None:
    """What was lost on the way comes from the broker's memory, in its place."""
    sequence = _begun(_log(1, 1))
    assert _feed(sequence, _log(4, 4), _log(5, 5)) == []
    assert sequence.missing
    assert sequence.position == Position(EPOCH, 1)
    replay = _snapshot([_log(2, 2), _log(3, 3), _log(4, 4)])
    assert _lines(sequence.fill(replay, settled=False)) == _expected(2, 3, 4, 5)
    assert not sequence.missing


def test_what_nobody_remembers_is_told_as_a_gap() -> None:
    """With the number of lost messages, and then on."""
    sequence = _begun(_log(1, 1))
    list(sequence.feed(_log(5, 5)))
    assert _lines(sequence.fill(_snapshot([_log(4, 4)]), settled=False)) == [
        "gap 2",
        *_expected(4, 5),
    ]


def test_a_broker_that_knows_nothing_is_asked_again() -> None:
    """It was restarted, and the collector is about to send again what was last."""
    sequence = _begun(_log(1, 1))
    list(sequence.feed(_log(3, 3)))
    assert _lines(sequence.fill(_snapshot([]), settled=False)) == []
    assert sequence.missing
    assert _lines(sequence.fill(_snapshot([_log(2, 2), _log(3, 3)]), settled=False)) == _expected(
        2, 3
    )


def test_a_replay_does_not_overtake_what_is_under_way() -> None:
    """The broker's memory is short and the subscriber's queue long: nothing is lost, only late."""
    sequence = _begun(_log(1, 1))
    assert _lines(sequence.fill(_snapshot([_log(4, 4)]), settled=False)) == []
    assert _feed(sequence, _log(2, 2), _log(3, 3), _log(4, 4)) == _expected(2, 3, 4)


def test_what_two_replays_a_turn_apart_do_not_bring_is_lost() -> None:
    """The last messages were lost on the way, so no later one shows it."""
    sequence = _begun(_log(1, 1))
    assert _lines(sequence.fill(_snapshot([_log(4, 4)]), settled=False)) == []
    assert _lines(sequence.fill(_snapshot([_log(4, 4)]), settled=True)) == ["gap 2", *_expected(4)]


def test_replays_in_quick_succession_do_not_overtake_what_is_in_transit() -> None:
    """After a stall the broker answers several requests at once, before the events arrive."""
    sequence = _begun(_log(1, 1))
    for _ in range(3):
        assert _lines(sequence.fill(_snapshot([_log(4, 4)]), settled=False)) == []
    assert _feed(sequence, _log(2, 2), _log(3, 3), _log(4, 4)) == _expected(2, 3, 4)


def test_what_is_held_is_bounded() -> None:
    """What is beyond the bound comes with the next replay."""
    sequence = ReorderBuffer(hold=2)
    assert _feed(sequence, *(_log(number, number) for number in range(1, 6))) == []
    assert _lines(sequence.fill(_snapshot([_log(1, 1)]), settled=False)) == _expected(1, 2)
    assert _feed(sequence, _log(6, 6)) == []
    rest = [_log(number, number) for number in range(3, 7)]
    assert _lines(sequence.fill(_snapshot(rest), settled=False)) == _expected(3, 4, 5, 6)


def test_a_replay_that_was_asked_for_in_vain_changes_nothing() -> None:
    """Quiet topics are compared with the broker's memory now and then."""
    sequence = _begun(_log(1, 1))
    assert _lines(sequence.fill(_snapshot([_log(1, 1)]), settled=False)) == []
    assert _lines(sequence.feed(_log(2, 2))) == _expected(2)


def test_an_older_epoch_is_dropped() -> None:
    """What a collector that was replaced still had under way."""
    sequence = _begun(_log(1, 1))
    assert _lines(sequence.feed(_log(9, 9, epoch=EPOCH - 1))) == []
    assert not sequence.missing


def test_a_new_epoch_goes_on_where_the_old_one_stopped() -> None:
    """Its history overlaps with what was passed on; that part is left out."""
    sequence = _begun(_log(1, 1), _log(2, 2), _log(3, 3))
    assert _lines(sequence.feed(_log(4, 6, epoch=EPOCH + 1))) == []
    assert sequence.missing
    history = _log(1, 2, 3, 4, 5, epoch=EPOCH + 1, flags=Flag.HISTORY)
    assert _lines(sequence.fill(_snapshot([history]), settled=False)) == _expected(4, 5)


def test_a_new_epoch_with_nothing_new_says_nothing() -> None:
    """A history that was passed on completely is left out completely."""
    sequence = _begun(_log(1, 1, 2, 3))
    list(sequence.feed(_log(4, 4, epoch=EPOCH + 1)))
    history = _log(1, 1, 2, 3, epoch=EPOCH + 1, flags=Flag.HISTORY)
    assert _lines(sequence.fill(_snapshot([history]), settled=False)) == _expected(4)


def test_a_new_epoch_seen_from_its_first_message_needs_no_replay() -> None:
    """Nothing can be missing before number 1, so the history passes as it comes."""
    sequence = _begun(_log(1, 1, 2))
    history = _log(1, 2, 3, epoch=EPOCH + 1, flags=Flag.HISTORY)
    assert _feed(sequence, history, _log(3, 4, epoch=EPOCH + 1)) == _expected(3, 4)
    assert not sequence.missing


def test_live_lines_of_a_new_epoch_are_not_taken_for_history() -> None:
    """Two lines may carry the same time stamp; only a history overlaps."""
    sequence = _begun(_log(1, 1, 2))
    assert _feed(sequence, _log(1, 2, epoch=EPOCH + 1)) == _expected(2)


def test_a_replay_from_before_the_gap_is_not_the_last_word() -> None:
    """It was under way when the gap showed; the next one brings what is missing."""
    sequence = _begun(_log(1, 1))
    assert _feed(sequence, _log(4, 4)) == []
    assert _lines(sequence.fill(_snapshot([_log(2, 2)]), settled=False)) == _expected(2)
    assert sequence.missing
    assert _lines(sequence.fill(_snapshot([_log(3, 3), _log(4, 4)]), settled=False)) == _expected(
        3, 4
    )
    assert not sequence.missing


def test_a_second_gap_behind_the_first_is_asked_for_too() -> None:
    """A subscriber that is late loses more while its replay is under way."""
    sequence = _begun(_log(1, 1))
    assert _feed(sequence, _log(3, 3), _log(6, 6)) == []
    assert _lines(sequence.fill(_snapshot([_log(2, 2), _log(3, 3)]), settled=False)) == _expected(
        2, 3
    )
    assert sequence.missing
    rest = _snapshot([_log(4, 4), _log(5, 5), _log(6, 6)])
    assert _lines(sequence.fill(rest, settled=False)) == _expected(4, 5, 6)
    assert not sequence.missing


def test_other_messages_keep_their_place() -> None:
    """A status between two lines."""
    sequence = _begun(_log(1, 1))
    assert _feed(sequence, _log(3, 3)) == []
    passed = list(sequence.fill(_snapshot([_status(2), _log(3, 3)]), settled=False))
    assert [each.header.kind for each in passed if isinstance(each, Message)] == [
        Kind.STATUS,
        Kind.LOG,
    ]


def test_ready_passes_without_a_body() -> None:
    """The end of the history is told although it holds nothing."""
    sequence = _begun(_log(1, 1))
    ready = Message(TOPIC, Header(Kind.READY, EPOCH, EPOCH, 2), b"")
    assert list(sequence.feed(ready)) == [ready]


@given(st.integers(min_value=0, max_value=2**32), st.integers(min_value=1, max_value=40))
def test_loss_and_repetition_never_show(seed: int, size: int) -> None:
    """Whatever gets lost or comes twice, in whatever batches: each line once, in order."""
    chance = random.Random(seed)
    sent: list[Message] = []
    number = 1
    while number <= size:
        count = min(chance.randint(1, 4), size - number + 1)
        sent.append(_log(number, *range(number, number + count)))
        number += count
    sequence, passed = ReorderBuffer(), []
    for position, message in enumerate(sent):
        for _ in range(chance.choice([0, 1, 1, 2])):
            passed += _lines(sequence.feed(message))
        if sequence.missing and chance.random() < 0.5:
            passed += _lines(sequence.fill(_snapshot(sent[: position + 1]), settled=False))
    passed += _lines(sequence.fill(_snapshot(sent), settled=False))
    assert passed == _expected(*range(1, size + 1))
