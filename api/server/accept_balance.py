"""Balance connections between gunicorn workers that share one listening socket.

The kernel wakes every worker for a new connection, and the fastest one accepts it.
That is fair enough for requests.  WebSockets, however, stay open for hours, and a
worker that was faster for one second would carry most of them all day.  Each worker
therefore publishes its number of connections, and one that is ahead gives the others a
moment to accept first.
"""

from __future__ import annotations

import mmap
from typing import Final

# More workers than this share rows, which only makes the balance less exact.
_WORKERS: Final = 64
_BYTES: Final = 4

# Shared by the master and all workers: each worker's number of connections plus one,
# and 0 for a row without a worker.
_table = memoryview(mmap.mmap(-1, _WORKERS * _BYTES)).cast("I")


def release(age: int) -> None:
    """Clear the row of a worker that has ended; the master passes gunicorn's ``worker.age``."""
    _table[age % _WORKERS] = 0


class AcceptShare:
    """The row of one worker in the shared table."""

    def __init__(self, age: int) -> None:
        self._age = age

    def publish(self, connections: int) -> None:
        """Publish this worker's number of connections."""
        _table[self._age % _WORKERS] = connections + 1

    def withdraw(self) -> None:
        """Stop taking part in the balance."""
        release(self._age)

    def lead(self, connections: int) -> int:
        """Return how many more connections this worker has than the one with the fewest."""
        others = [row for row in _table.tolist() if row]
        return connections + 1 - min(others) if others else 0  # rows hold the number plus one
