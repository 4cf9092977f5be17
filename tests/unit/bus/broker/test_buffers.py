"""What the broker remembers, by histories of headers."""

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
    """Buffers with these bounds, at a clock that stands at 777."""
    return Buffers(Settings(replay=ReplaySettings(**replay)), now=lambda: 777)


def put(buffers: Buffers, header: Header, body: bytes = b"x", topic: bytes = TOPIC) -> bool:
    """Hand one message to the broker's memory."""
    return buffers.accept(topic, wire.pack(header), header, body)


def log(seq: int, count: int = 1, epoch: int = 10, term: int = 10) -> Header:
    """The header of log lines."""
    return Header(Kind.LOG, epoch, term, seq, count)


def claim(term: int, *, reset: bool, epoch: int | None = None) -> Header:
    """The header of a claim."""
    flags = Flag.RESET if reset else wire.NO_FLAGS
    return Header(Kind.CLAIM, epoch or term, term, 1, flags=flags)


def state(buffers: Buffers, topic: bytes = TOPIC) -> tuple[int, int, int]:
    """Epoch, term and last number of a topic."""
    buffer = buffers.get(topic)
    assert buffer is not None
    return buffer.epoch, buffer.term, buffer.seq


def seqs(buffers: Buffers, after: Position = START, topic: bytes = TOPIC) -> list[int]:
    """The first number of each message that a replay holds."""
    buffer = buffers.get(topic)
    assert buffer is not None
    return [wire.unpack(header).seq for header, _body in buffer.after(after)]


def test_claim_is_not_forwarded_and_begins_an_epoch() -> None:
    """A claim with RESET sets epoch and term, and numbers start anew."""
    buffers = make()
    assert not put(buffers, claim(10, reset=True))
    assert state(buffers) == (10, 10, 0)


def test_resuming_claim_keeps_epoch_and_numbers() -> None:
    """A collector restarted after a crash goes on with its predecessor's numbers."""
    buffers = make()
    put(buffers, claim(10, reset=True))
    put(buffers, log(1, 5))
    put(buffers, claim(20, reset=False))
    assert state(buffers) == (10, 20, 5)
    assert seqs(buffers) == [1]


def test_resuming_claim_without_a_buffer_begins_an_epoch() -> None:
    """Where the broker was restarted too there is nothing to go on with."""
    buffers = make()
    put(buffers, claim(20, reset=False))
    assert state(buffers) == (20, 20, 0)


def test_claim_after_a_resend_that_broke_off_begins_an_epoch() -> None:
    """Subscribers may have numbers beyond it, which must not be given to other messages."""
    buffers = make()
    put(buffers, log(1, 5))
    put(buffers, claim(20, reset=False))
    assert state(buffers) == (20, 20, 0)


def test_claim_after_a_complete_resend_keeps_epoch_and_numbers() -> None:
    """A collector's own claim says that a new broker has everything again."""
    buffers = make()
    put(buffers, log(1, 5))
    put(buffers, claim(10, reset=False))
    put(buffers, claim(20, reset=False))
    assert state(buffers) == (10, 20, 5)


def test_resetting_claim_forgets() -> None:
    """A fresh collector loads the history again."""
    buffers = make()
    put(buffers, log(1))
    put(buffers, claim(20, reset=True))
    assert seqs(buffers) == []


def test_claim_of_an_earlier_term_is_ignored() -> None:
    """A claim that was long under way takes nothing from a later collector."""
    buffers = make()
    put(buffers, claim(20, reset=True))
    put(buffers, claim(10, reset=True))
    assert state(buffers) == (20, 20, 0)


def test_message_of_an_earlier_term_is_dropped() -> None:
    """What a replaced collector still had in its queue does not follow its successor's."""
    buffers = make()
    put(buffers, claim(10, reset=True))
    put(buffers, claim(20, reset=False))
    assert not put(buffers, log(1, epoch=10, term=10))
    assert put(buffers, log(1, epoch=10, term=20))


@pytest.mark.parametrize("seq", [1, 4, 5])
def test_resend_is_dropped(seq: int) -> None:
    """A collector sends its last messages again to a broker that comes back."""
    buffers = make()
    put(buffers, log(1, 5))
    assert not put(buffers, log(seq))


def test_newer_epoch_replaces_the_buffer() -> None:
    """Whoever asks next gets the new epoch alone."""
    buffers = make()
    put(buffers, log(1, 5))
    assert put(buffers, log(1, epoch=20, term=20))
    assert state(buffers) == (20, 20, 1)
    assert seqs(buffers, Position(10, 5)) == [1]


def test_older_epoch_is_dropped() -> None:
    """An epoch that was replaced does not come back."""
    buffers = make()
    put(buffers, log(1, epoch=20, term=20))
    assert not put(buffers, log(6, epoch=10, term=20))


def test_newer_epoch_of_an_earlier_term_is_dropped() -> None:
    """The term decides first."""
    buffers = make()
    put(buffers, claim(30, reset=True, epoch=5))
    assert not put(buffers, log(1, epoch=20, term=20))


def test_unknown_topic_takes_its_state_from_the_message() -> None:
    """After a restart of the broker the numbering goes on."""
    buffers = make()
    assert put(buffers, log(41, 2, epoch=10, term=12))
    assert state(buffers) == (10, 12, 42)


def test_replay_begins_after_the_position() -> None:
    """A message that reaches beyond the position is part of the answer."""
    buffers = make()
    for seq in (1, 3, 5):
        put(buffers, log(seq, 2))
    assert seqs(buffers, Position(10, 3)) == [3, 5]
    assert seqs(buffers, Position(10, 6)) == []


def test_replay_of_another_epoch_is_the_whole_buffer() -> None:
    """A position in an epoch that is gone says nothing about this one."""
    buffers = make()
    put(buffers, log(1))
    assert seqs(buffers, Position(9, 100)) == [1]


def test_bound_in_lines_keeps_at_least_that_many() -> None:
    """Whole messages go, the oldest first, and never below the bound."""
    buffers = make(lines=10)
    for seq in range(1, 31, 4):
        put(buffers, log(seq, 4))
    assert seqs(buffers) == [21, 25, 29]


def test_status_counts_no_line() -> None:
    """Only lines count against the bound in lines."""
    buffers = make(lines=2)
    put(buffers, Header(Kind.STATUS, 10, 10, 1))
    for seq in range(2, 4):
        put(buffers, log(seq))
    put(buffers, Header(Kind.STATUS, 10, 10, 4))
    assert seqs(buffers) == [1, 2, 3, 4]


def test_bound_in_bytes() -> None:
    """The bodies and what Python needs beside them stay below the bound."""
    buffers = make(bytes=10_000)
    for seq in range(1, 10):
        put(buffers, log(seq), b"x" * (3_000 - OVERHEAD_BYTES))
    assert seqs(buffers) == [7, 8, 9]


def test_last_message_stays_whatever_its_size() -> None:
    """A single huge line is still replayed."""
    buffers = make(bytes=1024)
    put(buffers, log(1), b"x" * 100_000)
    assert seqs(buffers) == [1]


def test_samples_are_bounded_by_the_history() -> None:
    """The metrics' buffer is the history that clients may ask for."""
    buffers = make()
    put(buffers, claim(10, reset=True), topic=b"metrics/system")
    for seq in range(1, 1_000):
        put(buffers, Header(Kind.METRICS, 10, 10, seq), topic=b"metrics/system")
    assert seqs(buffers, topic=b"metrics/system") == list(range(700, 1_000))


def test_silent_topics_go_first() -> None:
    """The number of topics is bounded, and the busy ones stay."""
    buffers = make(topics=2)
    put(buffers, log(1), topic=b"a")
    put(buffers, log(1), topic=b"b")
    put(buffers, log(2), topic=b"a")
    put(buffers, log(1), topic=b"c")
    assert [buffers.get(topic) is None for topic in (b"a", b"b", b"c")] == [False, True, False]


def test_refusal_goes_on_with_the_numbers() -> None:
    """Subscribers take a refusal for the topic's next message."""
    buffers = make()
    put(buffers, log(1, 5))
    header = wire.unpack(buffers.refuse(TOPIC, b"no", 1013))
    assert header == Header(Kind.ERROR, 10, 10, 6, code=1013)


def test_refusal_of_an_unknown_topic_begins_an_epoch() -> None:
    """A collector that comes later replaces it by a claim."""
    buffers = make()
    header = wire.unpack(buffers.refuse(TOPIC, b"no", 1013))
    assert (header.epoch, header.seq) == (777, 1)
    put(buffers, claim(800, reset=False))
    assert state(buffers) == (777, 800, 1)


def test_forget_spares_a_later_collector() -> None:
    """The order of a pipe and of the bus is not known: the term decides."""
    buffers = make()
    put(buffers, claim(20, reset=True))
    buffers.forget(TOPIC, 10)
    assert state(buffers) == (20, 20, 0)
    buffers.forget(TOPIC, 20)
    assert buffers.get(TOPIC) is None


def test_gap_in_the_numbers_is_kept() -> None:
    """What a collector could not resend is missing; the subscriber says so, not the broker."""
    buffers = make()
    put(buffers, log(1))
    assert put(buffers, structs.replace(log(9), count=2))
    assert seqs(buffers, Position(10, 1)) == [9]
