"""Tests of one topic's order: duplicates, gaps, replays and epochs."""

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
    """Return the log message of a line whose time stamp grows with its number."""
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
    """Return the time stamps of what was passed on; a gap as its length."""
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
    """Live messages wait for the first replay."""
    sequence = ReorderBuffer()
    assert sequence.missing
    assert _lines(sequence.feed(_log(3, 3))) == []
    assert _lines(sequence.fill(_snapshot([_log(1, 1), _log(2, 2)]), settled=False)) == _expected(
        1, 2, 3
    )
    assert sequence.position == Position(EPOCH, 3)


def test_a_buffer_that_has_lost_its_beginning_is_no_gap() -> None:
    """A late subscriber does not wait for messages that the broker has dropped."""
    assert _lines(ReorderBuffer().fill(_snapshot([_log(50, 50)]), settled=False)) == _expected(50)


def test_live_messages_pass_at_once() -> None:
    """Consecutive live messages pass at once."""
    sequence = _begun(_log(1, 1))
    assert _feed(sequence, _log(2, 2, 3), _log(4, 4)) == _expected(2, 3, 4)
    assert not sequence.missing


def test_a_first_live_message_that_is_not_the_topics_first_is_held() -> None:
    """A first live message with an earlier number missing is held, and a replay is requested."""
    sequence = ReorderBuffer()
    assert _lines(sequence.fill(_snapshot([]), settled=False)) == []
    assert _feed(sequence, _log(3, 3)) == []
    assert sequence.missing
    rest = [_log(number, number) for number in (1, 2, 3)]
    assert _lines(sequence.fill(_snapshot(rest), settled=False)) == _expected(1, 2, 3)


def test_a_repeated_message_is_dropped() -> None:
    """Messages that a collector resends to a new broker are passed on once."""
    sequence = _begun(_log(1, 1), _log(2, 2))
    assert _feed(sequence, _log(1, 1), _log(2, 2), _log(3, 3)) == _expected(3)


def test_a_gap_asks_for_a_replay_that_closes_it() -> None:
    """A replay fills a gap in its place."""
    sequence = _begun(_log(1, 1))
    assert _feed(sequence, _log(4, 4), _log(5, 5)) == []
    assert sequence.missing
    assert sequence.position == Position(EPOCH, 1)
    replay = _snapshot([_log(2, 2), _log(3, 3), _log(4, 4)])
    assert _lines(sequence.fill(replay, settled=False)) == _expected(2, 3, 4, 5)
    assert not sequence.missing


def test_what_nobody_remembers_is_told_as_a_gap() -> None:
    """A loss that no replay can fill is passed on as a Gap with its length."""
    sequence = _begun(_log(1, 1))
    list(sequence.feed(_log(5, 5)))
    assert _lines(sequence.fill(_snapshot([_log(4, 4)]), settled=False)) == [
        "gap 2",
        *_expected(4, 5),
    ]


def test_a_broker_that_knows_nothing_is_asked_again() -> None:
    """A restarted broker without the topic is asked again, because the collector will resend."""
    sequence = _begun(_log(1, 1))
    list(sequence.feed(_log(3, 3)))
    assert _lines(sequence.fill(_snapshot([]), settled=False)) == []
    assert sequence.missing
    assert _lines(sequence.fill(_snapshot([_log(2, 2), _log(3, 3)]), settled=False)) == _expected(
        2, 3
    )


def test_a_replay_does_not_overtake_what_is_under_way() -> None:
    """A replay does not overtake events in transit: they are late, but not lost."""
    sequence = _begun(_log(1, 1))
    assert _lines(sequence.fill(_snapshot([_log(4, 4)]), settled=False)) == []
    assert _feed(sequence, _log(2, 2), _log(3, 3), _log(4, 4)) == _expected(2, 3, 4)


def test_what_two_replays_a_turn_apart_do_not_bring_is_lost() -> None:
    """A message that two replays a turn apart do not bring is lost, even the topic's last one."""
    sequence = _begun(_log(1, 1))
    assert _lines(sequence.fill(_snapshot([_log(4, 4)]), settled=False)) == []
    assert _lines(sequence.fill(_snapshot([_log(4, 4)]), settled=True)) == ["gap 2", *_expected(4)]


def test_replays_in_quick_succession_do_not_overtake_what_is_in_transit() -> None:
    """Several answers right after a stall do not overtake the events behind them."""
    sequence = _begun(_log(1, 1))
    for _ in range(3):
        assert _lines(sequence.fill(_snapshot([_log(4, 4)]), settled=False)) == []
    assert _feed(sequence, _log(2, 2), _log(3, 3), _log(4, 4)) == _expected(2, 3, 4)


def test_what_is_held_is_bounded() -> None:
    """Held messages are bounded; those beyond the bound come with the next replay."""
    sequence = ReorderBuffer(hold=2)
    assert _feed(sequence, *(_log(number, number) for number in range(1, 6))) == []
    assert _lines(sequence.fill(_snapshot([_log(1, 1)]), settled=False)) == _expected(1, 2)
    assert _feed(sequence, _log(6, 6)) == []
    rest = [_log(number, number) for number in range(3, 7)]
    assert _lines(sequence.fill(_snapshot(rest), settled=False)) == _expected(3, 4, 5, 6)


def test_a_replay_that_was_asked_for_in_vain_changes_nothing() -> None:
    """A periodic replay of a quiet topic changes nothing."""
    sequence = _begun(_log(1, 1))
    assert _lines(sequence.fill(_snapshot([_log(1, 1)]), settled=False)) == []
    assert _lines(sequence.feed(_log(2, 2))) == _expected(2)


def test_an_older_epoch_is_dropped() -> None:
    """Messages of a replaced collector that were in transit are dropped."""
    sequence = _begun(_log(1, 1))
    assert _lines(sequence.feed(_log(9, 9, epoch=EPOCH - 1))) == []
    assert not sequence.missing


def test_a_new_epoch_goes_on_where_the_old_one_stopped() -> None:
    """A new epoch's history is passed on without the part that was passed on before."""
    sequence = _begun(_log(1, 1), _log(2, 2), _log(3, 3))
    assert _lines(sequence.feed(_log(4, 6, epoch=EPOCH + 1))) == []
    assert sequence.missing
    history = _log(1, 2, 3, 4, 5, epoch=EPOCH + 1, flags=Flag.HISTORY)
    assert _lines(sequence.fill(_snapshot([history]), settled=False)) == _expected(4, 5)


def test_a_new_epoch_with_nothing_new_says_nothing() -> None:
    """A new epoch whose history was passed on already adds nothing."""
    sequence = _begun(_log(1, 1, 2, 3))
    list(sequence.feed(_log(4, 4, epoch=EPOCH + 1)))
    history = _log(1, 1, 2, 3, epoch=EPOCH + 1, flags=Flag.HISTORY)
    assert _lines(sequence.fill(_snapshot([history]), settled=False)) == _expected(4)


def test_a_new_epoch_seen_from_its_first_message_needs_no_replay() -> None:
    """A new epoch that begins with number 1 needs no replay, because nothing can be missing."""
    sequence = _begun(_log(1, 1, 2))
    history = _log(1, 2, 3, epoch=EPOCH + 1, flags=Flag.HISTORY)
    assert _feed(sequence, history, _log(3, 4, epoch=EPOCH + 1)) == _expected(3, 4)
    assert not sequence.missing


def test_live_lines_of_a_new_epoch_are_not_taken_for_history() -> None:
    """Live lines with the same time stamp are passed on; only a history is deduplicated."""
    sequence = _begun(_log(1, 1, 2))
    assert _feed(sequence, _log(1, 2, epoch=EPOCH + 1)) == ["gap 0", *_expected(2)]


def test_a_replay_from_before_the_gap_is_not_the_last_word() -> None:
    """A replay from before the gap is not conclusive; the next one brings the missing messages."""
    sequence = _begun(_log(1, 1))
    assert _feed(sequence, _log(4, 4)) == []
    assert _lines(sequence.fill(_snapshot([_log(2, 2)]), settled=False)) == _expected(2)
    assert sequence.missing
    assert _lines(sequence.fill(_snapshot([_log(3, 3), _log(4, 4)]), settled=False)) == _expected(
        3, 4
    )
    assert not sequence.missing


def test_a_second_gap_behind_the_first_is_asked_for_too() -> None:
    """A second gap that appears during a replay is requested as well."""
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
    """A status between two lines keeps its place."""
    sequence = _begun(_log(1, 1))
    assert _feed(sequence, _log(3, 3)) == []
    passed = list(sequence.fill(_snapshot([_status(2), _log(3, 3)]), settled=False))
    assert [each.header.kind for each in passed if isinstance(each, Message)] == [
        Kind.STATUS,
        Kind.LOG,
    ]


def test_ready_passes_without_a_body() -> None:
    """READY is passed on although it has no body."""
    sequence = _begun(_log(1, 1))
    ready = Message(TOPIC, Header(Kind.READY, EPOCH, EPOCH, 2), b"")
    assert list(sequence.feed(ready)) == [ready]


def test_known_lines_in_other_messages_are_left_out() -> None:
    """A restarted collector cuts the same numbers into other messages; each line passes once."""
    sequence = _begun(_log(1, 1, 2, 3))
    assert _feed(sequence, _log(2, 2, 3, 4, 5), _log(4, 4), _log(5, 5, 6)) == _expected(4, 5, 6)
    assert sequence.position == Position(EPOCH, 6)


def _gaps(passed: Iterable[Message | Gap]) -> list[Gap]:
    return [each for each in passed if isinstance(each, Gap)]


def test_a_gap_of_a_slow_subscriber_says_so() -> None:
    """Without a restart, a loss is due to the subscriber itself."""
    sequence = _begun(_log(1, 1))
    list(sequence.feed(_log(5, 5)))
    assert _gaps(sequence.fill(_snapshot([_log(4, 4)]), settled=False)) == [Gap(2, "slow")]


def test_a_gap_after_a_restart_of_the_collector_says_so() -> None:
    """Another fencing token shows that the collector was restarted."""
    sequence = _begun(_log(1, 1))
    again = Message(TOPIC, Header(Kind.LOG, EPOCH, EPOCH + 1, 5, 1), _line(5))
    list(sequence.feed(again))
    assert _gaps(sequence.fill(_snapshot([again]), settled=False)) == [Gap(3, "restart")]


def test_a_gap_after_a_restart_of_the_broker_says_so() -> None:
    """A broker that does not know the topic was restarted."""
    sequence = _begun(_log(1, 1))
    list(sequence.feed(_log(5, 5)))
    list(sequence.fill(_snapshot([]), settled=False))
    assert _gaps(sequence.fill(_snapshot([_log(5, 5)]), settled=False)) == [Gap(3, "restart")]


def test_a_history_that_does_not_reach_back_is_a_gap() -> None:
    """If the last line is not in a new epoch's history, lines may be lost, which is told once."""
    sequence = _begun(_log(1, 1, 2))
    history = _log(1, 5, 6, epoch=EPOCH + 1, flags=Flag.HISTORY)
    assert _feed(sequence, history, _log(3, 7, epoch=EPOCH + 1)) == ["gap 0", *_expected(5, 6, 7)]


def test_a_new_epoch_without_a_history_is_a_gap() -> None:
    """An empty log cannot be the one that had lines before."""
    sequence = _begun(_log(1, 1, 2))
    ready = Message(TOPIC, Header(Kind.READY, EPOCH + 1, EPOCH + 1, 1), b"")
    assert _gaps(sequence.feed(ready)) == [Gap(messages.UNKNOWN, "restart")]


def test_lines_with_the_time_of_the_last_one_are_not_lost_in_a_new_epoch() -> None:
    """The last line is recognised by more than its time; what follows it is new."""

    def entry(text: str) -> bytes:
        return messages.log(clock.rfc3339(5_000), text, "stdout")

    def many(*texts: str, epoch: int = EPOCH) -> Message:
        body = b"\n".join(map(entry, texts))
        return Message(TOPIC, Header(Kind.LOG, epoch, epoch, 1, len(texts), Flag.HISTORY), body)

    sequence = _begun(many("a", "b"))
    [passed] = sequence.feed(many("a", "b", "c", "d", epoch=EPOCH + 1))
    assert isinstance(passed, Message)
    assert passed.body == b"\n".join(map(entry, ("c", "d")))
    assert (passed.header.seq, passed.header.count) == (3, 2)


@given(st.integers(min_value=0, max_value=2**32), st.integers(min_value=1, max_value=40))
def test_loss_and_repetition_never_show(seed: int, size: int) -> None:
    """Each line passes once and in order, whatever is lost, repeated or batched."""
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
