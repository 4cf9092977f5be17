"""Tests of the heartbeats' memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from mist import heartbeat
from mist.heartbeat import Heartbeats


@pytest.fixture
def beats() -> Iterator[Heartbeats]:
    """The supervisor's end."""
    made = Heartbeats()
    yield made
    made.close()


def test_word_begins_with_a_beat(beats: Heartbeats) -> None:
    """A process that has not started yet has just shown a sign of life."""
    before = time.monotonic()
    assert before <= beats.last(beats.take()) <= time.monotonic()


def test_words_are_used_again(beats: Heartbeats) -> None:
    """A released word goes to the next process, and to one only."""
    first, second = beats.take(), beats.take()
    assert first != second
    beats.release(first)
    assert beats.take() == first
    assert beats.take() not in {first, second}


def test_beat_of_another_process(beats: Heartbeats) -> None:
    """A child's beat, and its announcement, are seen by the supervisor."""
    one, other = beats.take(), beats.take()
    before = beats.last(other)
    child = os.fork()
    if child == 0:
        heartbeat.attach(beats.descriptor)
        heartbeat.use(one)
        heartbeat.beat(1_000.0)
        os._exit(0)
    os.waitpid(child, 0)
    assert beats.last(one) > time.monotonic() + 900.0
    assert beats.last(other) == before


def test_blocking_call_ends_its_announcement(beats: Heartbeats) -> None:
    """After the call the word says now again, even if the call failed."""
    word = beats.take()
    child = os.fork()
    if child == 0:
        heartbeat.attach(beats.descriptor)
        heartbeat.use(word)
        try:
            with heartbeat.blocking(1_000.0):
                os._exit(9) if beats.last(word) < time.monotonic() + 900.0 else None
                raise ValueError
        except ValueError:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert beats.last(word) <= time.monotonic()


def test_other_threads_prove_nothing(beats: Heartbeats) -> None:
    """A thread that calls what the loop calls neither beats nor announces anything."""
    word = beats.take()
    child = os.fork()
    if child == 0:
        heartbeat.attach(beats.descriptor)
        heartbeat.use(word)
        before = beats.last(word)
        thread = threading.Thread(target=heartbeat.beat, args=(1_000.0,))
        thread.start()
        thread.join()
        os._exit(0 if beats.last(word) == before else 9)
    assert os.waitpid(child, 0)[1] == 0


def test_nobody_watches(beats: Heartbeats) -> None:
    """A process without a supervisor may beat as well."""
    heartbeat.beat()
    with heartbeat.blocking(1.0):
        pass
    assert beats.last(beats.take()) > 0
