"""Bounded waiting for an effect of the test."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

_T = TypeVar("_T")

#: The maximum length of a value in a failure's message.
_SHOWN: Final = 500


def wait_until(
    condition: Callable[[], _T],
    what: str,
    seconds: float = 30.0,
    every: float = 0.02,
    sleep: Callable[[float], object] = time.sleep,
) -> _T:
    """Poll until ``condition`` returns a true value, and return it.

    After ``seconds``, raise AssertionError with ``what`` and the last value. A test whose
    greenlets have to run meanwhile passes ``gevent.sleep``.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        late = f"waited {seconds:g} s for {what}; the last value: {value!r:.{_SHOWN}}"
        assert time.monotonic() < deadline, late
        sleep(every)
    return value
