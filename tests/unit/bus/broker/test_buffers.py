"""Tests of the broker's replay buffers, with histories of headers."""

from __future__ import annotations

import pytest
from msgspec import structs

from bus import wire
from bus.broker.buffers import OVERHEAD_BYTES, Buffers
from bus.replay import START, Position
from bus.wire import Flag, Header, Kind
from mist.settings import ReplaySettings, Settings

TOPIC = b"container/1/log"


def make(**replay: int) -> Buffers:
    """Return buffers with these bounds and a clock that stands at 777."""
    return Buffers(Settings(replay=ReplaySettings(**replay)), now=lambda: 777)


def put(buffers: Buffers, header: Header, body: bytes = b"x", topic: bytes = TOPIC) -> bool:
    """Store one message."""
    return buffers.accept(topic, wire.pack(header), header, body)


def log(seq: int, count: int = 1, epoch: int = 10, term: int = 10) -> Header:
    """Return the header of log lines."""
    return Header(Kind.LOG, epoch, term, seq, count)


def status(seq: int, epoch: int = 10, term: int = 10, flags: Flag = wire.NO_FLAGS) -> Header:
    """Return the header of a status."""
    return Header(Kind.STATUS, epoch, term, seq, flags=flags)


def claim(term: int, *, reset: bool, epoch: int | None = None) -> Header:
    """Return the header of a claim."""
    flags = Flag.RESET if reset else wire.NO_FLAGS
    return Header(Kind.CLAIM, epoch or term, term, 1, flags=flags)


def state(buffers: Buffers, topic: bytes = TOPIC) -> tuple[int, int, int]:
    """Return the epoch, term and last number of a topic."""
    buffer = buffers.get(topic)
    assert buffer is not None
    return buffer.epoch, buffer.term, buffer.seq


def seqs(buffers: Buffers, after: Position = START, topic: bytes = TOPIC) -> list[int]:
    """Return the first number of each message in a replay."""
    buffer = buffers.get(topic)
    assert buffer is not None
    return [wire.unpack(header).seq for header, _body in buffer.after(after)]


def test_claim_is_not_forwarded_and_begins_an_epoch() -> None:
    """A claim with RESET is not forwarded; it sets epoch and term and restarts the numbers."""
    buffers = make()
    assert not put(buffers, claim(10, reset=True))
    assert state(buffers) == (10, 10, 0)


def test_resuming_claim_keeps_epoch_and_numbers() -> None:
    """A collector restarted after a crash continues its predecessor's numbers."""
    buffers = make()
    put(buffers, claim(10, reset=True))
    put(buffers, log(1, 5))
    put(buffers, claim(20, reset=False))
    assert state(buffers) == (10, 20, 5)
    assert seqs(buffers) == [1]


def test_resuming_claim_without_a_buffer_begins_an_epoch() -> None:
    """A resuming claim begins a new epoch if the broker has no buffer either."""
    buffers = make()
    put(buffers, claim(20, reset=False))
    assert state(buffers) == (20, 20, 0)


def test_claim_after_a_resend_that_broke_off_begins_an_epoch() -> None:
    """After an incomplete resend a claim begins an epoch, so that no number is given out twice."""
    buffers = make()
    put(buffers, log(1, 5))
    put(buffers, claim(20, reset=False))
    assert state(buffers) == (20, 20, 0)


def test_claim_after_a_complete_resend_keeps_epoch_and_numbers() -> None:
    """A collector's own claim after a resend tells a new broker that it has everything again."""
    buffers = make()
    put(buffers, log(1, 5))
    put(buffers, claim(10, reset=False))
    put(buffers, claim(20, reset=False))
    assert state(buffers) == (10, 20, 5)


def test_resetting_claim_forgets() -> None:
    """A fresh collector clears the buffer, because it loads the history again."""
    buffers = make()
    put(buffers, log(1))
    put(buffers, claim(20, reset=True))
    assert seqs(buffers) == []


def test_claim_of_an_earlier_term_is_ignored() -> None:
    """A delayed claim takes nothing from a later collector."""
    buffers = make()
    put(buffers, claim(20, reset=True))
    put(buffers, claim(10, reset=True))
    assert state(buffers) == (20, 20, 0)


def test_message_of_an_earlier_term_is_dropped() -> None:
    """A replaced collector's queued messages are dropped once its successor has taken over."""
    buffers = make()
    put(buffers, claim(10, reset=True))
    put(buffers, claim(20, reset=False))
    assert not put(buffers, log(1, epoch=10, term=10))
    assert put(buffers, log(1, epoch=10, term=20))


@pytest.mark.parametrize("seq", [1, 4, 5])
def test_resend_is_dropped(seq: int) -> None:
    """Messages that a collector resends to a broker that still has them are dropped."""
    buffers = make()
    put(buffers, log(1, 5))
    assert not put(buffers, log(seq))


def test_newer_epoch_replaces_the_buffer() -> None:
    """A newer epoch replaces the buffer, and later replays contain it alone."""
    buffers = make()
    put(buffers, log(1, 5))
    assert put(buffers, log(1, epoch=20, term=20))
    assert state(buffers) == (20, 20, 1)
    assert seqs(buffers, Position(10, 5)) == [1]


def test_older_epoch_is_dropped() -> None:
    """Messages of an epoch that was replaced are dropped."""
    buffers = make()
    put(buffers, log(1, epoch=20, term=20))
    assert not put(buffers, log(6, epoch=10, term=20))


def test_newer_epoch_of_an_earlier_term_is_dropped() -> None:
    """The term takes precedence over the epoch."""
    buffers = make()
    put(buffers, claim(30, reset=True, epoch=5))
    assert not put(buffers, log(1, epoch=20, term=20))


def test_unknown_topic_takes_its_state_from_the_message() -> None:
    """A restarted broker takes the numbering from the first message."""
    buffers = make()
    assert put(buffers, log(41, 2, epoch=10, term=12))
    assert state(buffers) == (10, 12, 42)


def test_replay_begins_after_the_position() -> None:
    """A message that extends beyond the requested position is part of the replay."""
    buffers = make()
    for seq in (1, 3, 5):
        put(buffers, log(seq, 2))
    assert seqs(buffers, Position(10, 3)) == [3, 5]
    assert seqs(buffers, Position(10, 6)) == []


def test_replay_of_another_epoch_is_the_whole_buffer() -> None:
    """A position in another epoch is answered with the whole buffer."""
    buffers = make()
    put(buffers, log(1))
    assert seqs(buffers, Position(9, 100)) == [1]


def test_bound_in_lines_keeps_at_least_that_many() -> None:
    """The oldest messages are dropped whole, and never below the bound in lines."""
    buffers = make(lines=10)
    for seq in range(1, 31, 4):
        put(buffers, log(seq, 4))
    assert seqs(buffers) == [21, 25, 29]


def test_status_counts_no_line() -> None:
    """Only lines count towards the bound in lines."""
    buffers = make(lines=2)
    put(buffers, Header(Kind.STATUS, 10, 10, 1))
    for seq in range(2, 4):
        put(buffers, log(seq))
    put(buffers, Header(Kind.STATUS, 10, 10, 4))
    assert seqs(buffers) == [1, 2, 3, 4]


def test_bound_in_bytes() -> None:
    """Message bodies plus Python's overhead stay below the bound in bytes."""
    buffers = make(bytes=10_000)
    for seq in range(1, 10):
        put(buffers, log(seq), b"x" * (3_000 - OVERHEAD_BYTES))
    assert seqs(buffers) == [7, 8, 9]


def test_last_message_stays_whatever_its_size() -> None:
    """A single huge line can still be replayed."""
    buffers = make(bytes=1024)
    put(buffers, log(1), b"x" * 100_000)
    assert seqs(buffers) == [1]


def test_samples_are_bounded_by_the_history() -> None:
    """The metrics' buffer holds exactly the history that clients may request."""
    buffers = make()
    put(buffers, claim(10, reset=True), topic=b"metrics/system")
    for seq in range(1, 1_000):
        put(buffers, Header(Kind.METRICS, 10, 10, seq), topic=b"metrics/system")
    assert seqs(buffers, topic=b"metrics/system") == list(range(700, 1_000))


def test_silent_topics_go_first() -> None:
    """Beyond the maximum number of topics, the least recently active one is dropped."""
    buffers = make(topics=2)
    put(buffers, log(1), topic=b"a")
    put(buffers, log(1), topic=b"b")
    put(buffers, log(2), topic=b"a")
    put(buffers, log(1), topic=b"c")
    assert [buffers.get(topic) is None for topic in (b"a", b"b", b"c")] == [False, True, False]


def test_refusal_goes_on_with_the_numbers() -> None:
    """A refusal takes the topic's next number, so subscribers accept it as the next message."""
    buffers = make()
    put(buffers, log(1, 5))
    header = wire.unpack(buffers.refuse(TOPIC, b"no", 1013))
    assert header == Header(Kind.ERROR, 10, 10, 6, code=1013)


def test_refusal_of_an_unknown_topic_begins_an_epoch() -> None:
    """A refusal of an unknown topic begins an epoch, which a later collector's claim replaces."""
    buffers = make()
    header = wire.unpack(buffers.refuse(TOPIC, b"no", 1013))
    assert (header.epoch, header.seq) == (777, 1)
    put(buffers, claim(800, reset=False))
    assert state(buffers) == (777, 800, 1)


def test_forget_spares_a_later_collector() -> None:
    """A command to forget a topic spares a later term, whichever of the two arrives first."""
    buffers = make()
    put(buffers, claim(20, reset=True))
    buffers.forget(TOPIC, 10)
    assert state(buffers) == (20, 20, 0)
    buffers.forget(TOPIC, 20)
    assert buffers.get(TOPIC) is None


def test_gap_in_the_numbers_is_kept() -> None:
    """The broker keeps gaps that a collector could not fill; the subscriber reports them."""
    buffers = make()
    put(buffers, log(1))
    assert put(buffers, structs.replace(log(9), count=2))
    assert seqs(buffers, Position(10, 1)) == [9]


def test_bound_in_bytes_of_all_topics() -> None:
    """Beyond the bound of all topics the largest becomes shorter, and small ones keep theirs."""
    buffers = make(total_bytes=20_000)
    put(buffers, log(1), b"small", topic=b"container/2/log")
    for seq in range(1, 30):
        put(buffers, log(seq), b"x" * (3_000 - OVERHEAD_BYTES))
    assert seqs(buffers, topic=b"container/2/log") == [1]
    assert seqs(buffers) == [24, 25, 26, 27, 28, 29]


def test_large_last_messages_of_many_topics() -> None:
    """Where only large last messages are left, those of the most silent topics go."""
    buffers = make(total_bytes=20_000)
    for number in range(1, 6):
        topic = b"container/%d/log" % number
        put(buffers, log(1), b"x" * (8_000 - OVERHEAD_BYTES), topic=topic)
    assert [buffers.get(b"container/%d/log" % n) is not None for n in range(1, 6)] == [
        *(False, False, False, True, True)
    ]
    for number in range(1, 6):
        buffers.forget(b"container/%d/log" % number, 10)
    put(buffers, log(1), b"x" * 50_000)
    assert seqs(buffers) == [1]


def replayed(buffers: Buffers, after: Position = START) -> list[tuple[int, bool, bytes]]:
    """Return number, APART and body of each message in a replay."""
    buffer = buffers.get(TOPIC)
    assert buffer is not None
    found = [(wire.unpack(packed), body) for packed, body in buffer.after(after)]
    return [(header.seq, header.apart, body) for header, body in found]


def test_newest_status_outlives_any_number_of_lines() -> None:
    """Lines push out a status, but a replay still begins with the newest one."""
    buffers = make(lines=5)
    put(buffers, status(1), b"old")
    put(buffers, status(2), b"new")
    for seq in range(3, 103):
        put(buffers, log(seq), b"line")
    kept = [(seq, False, b"line") for seq in range(98, 103)]
    assert replayed(buffers) == [(2, True, b"new"), *kept]
    assert replayed(buffers, Position(10, 1)) == [(2, True, b"new"), *kept]
    assert replayed(buffers, Position(10, 2)) == kept


def test_status_among_the_lines_is_not_repeated() -> None:
    """A status that is still in its place comes there only."""
    buffers = make(lines=5)
    for seq in range(1, 21):
        put(buffers, log(seq), b"line")
    put(buffers, status(21), b"new")
    put(buffers, log(22), b"line")
    assert [seq for seq, *_ in replayed(buffers)] == [17, 18, 19, 20, 21, 22]
    assert not any(apart for _, apart, _ in replayed(buffers))


def test_resent_status_is_kept_but_takes_no_number() -> None:
    """A collector gives a new broker its newest status without a hole in the numbers."""
    buffers = make(lines=5)
    assert not put(buffers, status(3, flags=Flag.APART), b"up")
    assert put(buffers, log(900), b"line")
    assert replayed(buffers) == [(3, True, b"up"), (900, False, b"line")]
    assert state(buffers) == (10, 10, 900)


def test_status_of_a_replaced_collector_is_ignored() -> None:
    """A status with an older term or from another epoch does not replace the newest one."""
    buffers = make(lines=1)
    put(buffers, claim(20, reset=True))
    put(buffers, status(1, 20, 20), b"new")
    put(buffers, status(9, 20, 10, Flag.APART), b"stale")
    put(buffers, status(9, 10, 20, Flag.APART), b"stale")
    put(buffers, log(2, 1, 20, 20), b"line")
    put(buffers, log(3, 1, 20, 20), b"line")
    assert replayed(buffers)[0] == (1, True, b"new")


def test_new_epoch_forgets_the_status() -> None:
    """A reset begins without a status, because the collector publishes one first."""
    buffers = make()
    put(buffers, status(1), b"old")
    put(buffers, claim(20, reset=True))
    assert replayed(buffers) == []
