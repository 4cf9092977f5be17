"""Tests of when a stream's history is complete and when the stream is over."""

from __future__ import annotations

import pytest

from bus.replay import Snapshot
from bus.stream_state import StreamState
from bus.wire import NO_FLAGS, Flag, Header, Kind, Message


def state(*headers: tuple[Kind, Flag, int], epoch: int = 1) -> StreamState:
    """Return the state after messages of these kinds, flags and close codes."""
    found = StreamState()
    for seq, (kind, flags, code) in enumerate(headers, 1):
        found.take(Header(kind, epoch, 1, seq, flags=flags, code=code))
    return found


HISTORY = [(Kind.STATUS, Flag.HISTORY, 0), (Kind.LOG, Flag.HISTORY, 0)]


def test_a_history_is_complete_when_it_says_so() -> None:
    """A history is incomplete until READY."""
    assert not state(*HISTORY).complete
    assert state(*HISTORY, (Kind.READY, NO_FLAGS, 0)).complete


@pytest.mark.parametrize("kind", [Kind.LOG, Kind.STATUS, Kind.END, Kind.METRICS])
def test_a_later_message_says_that_the_history_is_complete(kind: Kind) -> None:
    """A live message completes the history, because the buffer may have dropped READY."""
    assert state((kind, NO_FLAGS, 0)).complete


def test_an_error_comes_instead_of_a_history() -> None:
    """After an error without a history, a successor has to publish one."""
    refused = state((Kind.ERROR, NO_FLAGS, 4404))
    assert refused.final
    assert not refused.complete


def test_an_error_does_not_undo_a_history() -> None:
    """An error does not undo a complete history."""
    assert state((Kind.READY, NO_FLAGS, 0), (Kind.ERROR, NO_FLAGS, 1013)).complete


def test_another_epoch_begins_with_another_history() -> None:
    """A new epoch begins with a new history."""
    found = state((Kind.READY, NO_FLAGS, 0))
    found.take(Header(Kind.STATUS, 2, 2, 1, flags=Flag.HISTORY))
    assert not found.complete


def test_a_stream_is_over_until_its_next_message() -> None:
    """A stream is over until its next message; READY after an error changes nothing."""
    end = (Kind.END, NO_FLAGS, 1000)
    assert state(end).final
    assert state(end, (Kind.READY, NO_FLAGS, 0)).final
    assert not state(end, (Kind.STATUS, NO_FLAGS, 0)).final


def test_an_end_without_a_code_is_not_the_end_of_the_stream() -> None:
    """An end without a close code does not end the stream: a deployment's clients read the file."""
    assert not state((Kind.END, NO_FLAGS, 0)).final


def test_a_snapshot_has_a_state() -> None:
    """A snapshot has the state of its messages, or of a stream that has not begun."""
    ready = Message(b"t", Header(Kind.READY, 1, 1, 1), b"")
    assert StreamState.of(Snapshot(b"t", 1, 1, 1, [ready])).complete
    assert not StreamState.of(Snapshot(b"t", 0, 0, 0, [])).complete
