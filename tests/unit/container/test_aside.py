"""Questions asked in a short-lived copy of the process."""

from __future__ import annotations

import os

import pytest

from mist.errors import StoreError
from workers.container.aside import Plain, ask_aside


@pytest.mark.parametrize("answer", ["mist-app-1", "ünïcode", True, False, None])
def test_the_answer_comes_back(answer: Plain) -> None:
    """Text, a truth value, or nothing."""
    assert ask_aside(lambda: answer) == answer


def test_the_question_is_asked_in_a_copy() -> None:
    """Whatever it touches is gone with it."""
    assert ask_aside(lambda: str(os.getpid())) != str(os.getpid())


def test_an_error_keeps_its_words() -> None:
    """They say what to do."""

    def fail() -> Plain:
        raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="the disk is full"):
        ask_aside(fail)


def test_a_crash_is_an_error() -> None:
    """And not an answer of nothing."""

    def crash() -> Plain:
        os._exit(0)

    with pytest.raises(StoreError, match="crashed"):
        ask_aside(crash)
