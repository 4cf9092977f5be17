"""Asks a question in a short-lived copy of this process, whose memory goes with it.

The first query of a database library touches several megabytes, as much as all
the rest of a collector, and there may be hundreds of those for hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from mist.errors import MistError, StoreError

Plain = str | bool | None


class _Answer(msgspec.Struct):
    value: Plain = None
    error: str | None = None


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
