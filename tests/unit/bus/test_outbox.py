"""Tests of a collector's numbers, its claims, and what it resends to a new broker."""

from __future__ import annotations

from bus import wire
from bus.outbox import Outbox, Packet
from bus.replay import Position, Snapshot
from bus.wire import Flag, Header, Kind, Message

TOPIC = b"container/1/log"


def outbox(term: int = 7, keep_bytes: int = 100) -> Outbox:
    """Return an outbox whose topic is not claimed yet."""
    return Outbox(TOPIC, term, keep_bytes)


def header(packet: Packet) -> Header:
    """Return the header of a packet."""
    return wire.unpack(packet[0])


def test_numbers_follow_one_another() -> None:
    """A message takes one number for each of its lines."""
    box = outbox()
    sent = [header(box.number(Kind.LOG, b"x", count=count)) for count in (1, 3, 1)]
    assert [(one.seq, one.last) for one in sent] == [(1, 1), (2, 4), (5, 5)]
    assert {(one.epoch, one.term) for one in sent} == {(7, 7)}


def test_a_claim_begins_a_new_epoch() -> None:
    """A resetting claim makes the broker forget the topic and drops what was sent."""
    box = outbox()
    box.number(Kind.LOG, b"x")
    claim = header(box.claim(resume=False))
    assert (claim.kind, claim.flags, claim.epoch) == (Kind.CLAIM, Flag.RESET, 7)
    assert header(box.number(Kind.LOG, b"y")).seq == 1
    assert [body for _, body in box.resend()] == [b"y", b""]


def test_a_successor_goes_on_with_the_numbers() -> None:
    """A successor continues its predecessor's epoch and resends that one's messages as its own."""
    box = outbox(term=9)
    assert header(box.claim(resume=True)).flags == wire.NO_FLAGS
    known = Message(TOPIC, Header(Kind.LOG, 7, 7, 4, count=2), b"old")
    box.adopt(Snapshot(TOPIC, 7, 7, 5, [known]))
    new = header(box.number(Kind.LOG, b"new"))
    assert (new.epoch, new.term, new.seq) == (7, 9, 6)
    again = [header(packet) for packet in box.resend()]
    assert [(one.kind, one.epoch, one.term, one.seq) for one in again] == [
        (Kind.LOG, 7, 9, 4),
        (Kind.LOG, 7, 9, 6),
        (Kind.CLAIM, 7, 9, 1),
    ]


def test_a_claim_continues_after_a_position() -> None:
    """The numbers of a claim that outlived broker and collector go on in their epoch."""
    box = outbox(term=9)
    claim = header(box.claim(resume=False, after=Position(7, 40)))
    assert (claim.flags, claim.epoch, claim.term) == (Flag.RESET, 7, 9)
    new = header(box.number(Kind.LOG, b"new"))
    assert (new.epoch, new.term, new.seq) == (7, 9, 41)


def test_a_broker_that_knows_nothing_leaves_the_epoch_as_it_is() -> None:
    """A broker without the topic does not change the epoch."""
    box = outbox()
    box.claim(resume=True)
    box.adopt(Snapshot(TOPIC, 0, 0, 0, []))
    assert header(box.number(Kind.LOG, b"x")).epoch == 7


def test_what_is_kept_is_bounded() -> None:
    """The oldest messages are dropped first; the newest stays even if it exceeds the bound."""
    box = outbox(keep_bytes=100)
    for size in (60, 30, 40):
        box.number(Kind.LOG, b"x" * size)
    assert [len(body) for _, body in box.resend()] == [30, 40, 0]
    box.number(Kind.LOG, b"x" * 500)
    assert [len(body) for _, body in box.resend()] == [500, 0]


def test_nothing_is_sent_again_before_anything_was_sent() -> None:
    """The broker's first connection does not cause a resend."""
    assert list(outbox().resend()) == []


def test_a_claim_is_sent_again_even_without_messages() -> None:
    """A claim is resent even without messages, because the broker may have died before it came."""
    box = outbox()
    box.claim(resume=True)
    assert [header(packet).kind for packet in box.resend()] == [Kind.CLAIM]
