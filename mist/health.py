"""The supervisor's report on its processes, for the web tier's ``/readyz``.

The supervisor rewrites a small file once a second.  The web tier, which may be another
user without access to the control socket, can read it, and sees by its age if the
supervisor itself responds.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import islice
from typing import Final

import msgspec

from mist.paths import Paths

# The supervisor writes once a second; a report of this age is one of a supervisor that hangs.
_STALE_SECONDS: Final = 8.0


# The size of the report, and what a longer one is cut to.
_BYTES: Final = 4_096
_PROBLEMS: Final = 10
_TEXT: Final = 100


class Health(msgspec.Struct, frozen=True):
    """What is wrong at a time."""

    beat: float
    """The time of the report in seconds of CLOCK_MONOTONIC, which all processes share."""
    hung: dict[str, str] = {}
    """The processes that do not respond, and since when."""
    troubles: dict[str, str] = {}
    """The processes that were ended or could not be started, and are tried again."""
    processes: dict[str, dict[str, int]] = {}
    """How many processes of each kind are in each state."""
    restarts: dict[str, int] = {}
    """How often the processes of each kind were restarted."""


class Report:
    """The supervisor's end of the file, which stays open in case descriptors run out."""

    def __init__(self, paths: Paths) -> None:
        self._path = paths.health
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        os.fchmod(self._descriptor, 0o640)  # the web tier's user is in the group

    def write(self, health: Health) -> None:
        """Replace the report."""
        # Always of the same size, so that one write replaces it as a whole.
        text = msgspec.json.encode(health)
        if len(text) > _BYTES:
            text = msgspec.json.encode(Health(health.beat, _first(health.hung)))
        with suppress(OSError):
            os.pwrite(self._descriptor, text.ljust(_BYTES), 0)

    def close(self) -> None:
        """Remove the report of a supervisor that ends."""
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)


def _first(problems: dict[str, str]) -> dict[str, str]:
    """Return some of many problems, so that the report has a bound."""
    return {name: text[:_TEXT] for name, text in islice(problems.items(), _PROBLEMS)}


def read(paths: Paths) -> Health | None:
    """Return the latest report, which may say that the supervisor itself does not respond.

    Return None if there is no report: no supervisor is running, or an earlier version.
    """
    try:
        found = msgspec.json.decode(paths.health.read_bytes(), type=Health)
    except (OSError, msgspec.DecodeError):
        return None
    age = time.monotonic() - found.beat
    if age <= _STALE_SECONDS:
        return found
    return Health(found.beat, {"supervisor": f"has not responded for {age:.0f} s"})
