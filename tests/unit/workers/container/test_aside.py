"""Questions asked in a short-lived copy of the process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mist.errors import StoreError
from workers.container.aside import Plain, Remembered, ask_aside


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


def test_an_answer_is_remembered_for_its_time(tmp_path: Path) -> None:
    """Who asks ten times a second has the store asked once."""
    asked = tmp_path / "asked"
    now = 100.0

    def question() -> str:
        with asked.open("a") as file:
            file.write("x")
        return asked.read_text()

    remembered = Remembered(question, 5.0, lambda: now)
    assert [remembered(), remembered()] == ["x", "x"]
    now += 5.0
    assert remembered() == "xx"


def test_what_is_known_from_elsewhere_is_not_asked() -> None:
    """Until it is old."""
    now = 100.0
    remembered = Remembered(lambda: "asked", 5.0, lambda: now)
    remembered.know("known")
    assert remembered() == "known"
    now += 5.0
    assert remembered() == "asked"


def test_a_failure_is_not_remembered() -> None:
    """The next attempt asks again."""

    def question() -> str:
        raise StoreError("away")

    remembered = Remembered(question, 5.0)
    for _ in range(2):
        with pytest.raises(StoreError, match="away"):
            remembered()
