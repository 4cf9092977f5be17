"""What a web worker and gunicorn's master tell each other, in memory that both share."""

from __future__ import annotations

import mmap
import traceback
from typing import Final

import msgspec
from gunicorn.errors import AppImportError

from mist.errors import BrokenInstallation, Exit, MistError

#: A page that is not written to costs nothing.
_BYTES: Final = 65_536

_SERVES, _REPLACED = 0, 1
_LENGTH: Final = slice(2, 6)
_FAILURE: Final = 6

#: So much fits, also where JSON makes six bytes of each character.
_REASON_CHARACTERS: Final = 2_000
_TRACEBACK_CHARACTERS: Final = 8_000


class Failure(msgspec.Struct, frozen=True):
    """Why a worker has ended; ``status`` is the exit status of a service that ends for it."""

    status: int
    reason: str
    traceback: str = ""


class WorkerStatus:
    """Made by the master before it forks the worker."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _BYTES)

    @property
    def serves(self) -> bool:
        """Whether the worker has got as far as taking requests."""
        return bool(self._memory[_SERVES])

    def note_serving(self) -> None:
        """Tell the master that the worker takes requests from now on."""
        self._memory[_SERVES] = 1

    @property
    def replaced(self) -> bool:
        """Whether the worker is stopped because a new one has taken over."""
        return bool(self._memory[_REPLACED])

    def note_replaced(self) -> None:
        """Tell the worker, which is about to be stopped, that a new one has taken over."""
        self._memory[_REPLACED] = 1

    @property
    def failure(self) -> Failure | None:
        """Why the worker could not start, if it was able to say so."""
        length = int.from_bytes(self._memory[_LENGTH], "big")
        if not length:
            return None
        return msgspec.json.decode(self._memory[_FAILURE : _FAILURE + length], type=Failure)

    def note_failure(self, error: Exception) -> None:
        """Tell the master why the worker cannot start."""
        text = msgspec.json.encode(explain(error))
        self._memory[_FAILURE : _FAILURE + len(text)] = text
        self._memory[_LENGTH] = len(text).to_bytes(4, "big")  # last: it may be killed before


def explain(error: Exception) -> Failure:
    """Return the failure that ``error`` is; one that was not foreseen has its traceback."""
    if isinstance(error, ImportError | SyntaxError | AppImportError):
        error = BrokenInstallation("the web application", str(error))
    if isinstance(error, MistError):
        return Failure(error.exit_status, str(error)[:_REASON_CHARACTERS])
    reason = "".join(traceback.format_exception_only(error)).strip()
    trace = "".join(traceback.format_exception(error))
    return Failure(Exit.FAILURE, reason[:_REASON_CHARACTERS], trace[-_TRACEBACK_CHARACTERS:])
