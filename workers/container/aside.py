"""Asks a question in a short-lived copy of this process, whose memory goes with it.

The database library and its first query take twenty megabytes, several times as
much as all the rest of a collector, and there may be hundreds of those for hours.
Loading them takes a tenth of a second of CPU time, so answers are remembered.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

import msgspec

from mist.errors import MistError, StoreError

Plain = str | bool | None


class _Answer(msgspec.Struct):
    value: Plain = None
    error: str | None = None


class Remembered:
    """An answer that holds for some seconds, for whoever asks more often than it changes."""

    def __init__(
        self,
        question: Callable[[], Plain],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._question = question
        self._seconds = seconds
        self._clock = clock
        self._answer: Plain = None
        self._until = -math.inf

    def __call__(self) -> Plain:
        """The answer to the question, asked aside if the last one is too old; or StoreError."""
        if self._clock() >= self._until:
            self.know(ask_aside(self._question))
        return self._answer

    def know(self, answer: Plain) -> None:
        """Take an answer that came from elsewhere."""
        self._answer = answer
        self._until = self._clock() + self._seconds


def ask_aside(question: Callable[[], Plain]) -> Plain:
    """The answer to a question to the store; StoreError if it has none."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(question, sending)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    if not data:
        raise StoreError("whoever was to ask the store has crashed")
    answer = msgspec.json.decode(data, type=_Answer)
    if answer.error is not None:
        raise StoreError(answer.error)
    return answer.value


def _answer(question: Callable[[], Plain], sending: int) -> None:
    """The copy's whole life: nothing of what the original has open is cleaned up in it."""
    status = 1
    try:
        try:
            answer = _Answer(value=question())
        except MistError as error:
            answer = _Answer(error=str(error))
        os.write(sending, msgspec.json.encode(answer))
        status = 0
    finally:
        os._exit(status)
