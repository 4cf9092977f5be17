"""Evens out the connections of gunicorn's workers, which share one listening socket.

The kernel wakes all of them for a new connection and whoever is quickest takes
it.  For requests that is fair enough; WebSockets stay for hours, and a worker
that was quick for one second would carry most of them all day.  So each worker
publishes its number of connections, and one that is ahead lets the others go
first for a moment.
"""

from __future__ import annotations

import mmap
from typing import Final

_WORKERS: Final = 64
_BYTES: Final = 4

#: In memory that the master and all workers share: the connections of each
#: worker plus one, 0 where there is no worker.
_table = memoryview(mmap.mmap(-1, _WORKERS * _BYTES)).cast("I")


def release(age: int) -> None:
    """Forget a worker, by gunicorn's running number for it; for the master, when it has ended."""
    _table[age % _WORKERS] = 0


class AcceptShare:
    """One worker's row of the table."""

    def __init__(self, age: int) -> None:
        self._age = age

    def publish(self, connections: int) -> None:
        """Tell the others how many connections this worker has."""
        _table[self._age % _WORKERS] = connections + 1

    def withdraw(self) -> None:
        """Take no part any more."""
        release(self._age)

    def lead(self, connections: int) -> int:
        """By how many connections this worker is ahead of the one that has the fewest."""
        others = [row for row in _table.tolist() if row]
        return connections + 1 - min(others) if others else 0
