"""Shared memory in which a web worker and gunicorn's master exchange their status."""

from __future__ import annotations

import mmap
import traceback
from typing import Final

import msgspec
from gunicorn.errors import AppImportError

from mist.errors import BrokenInstallation, Exit, MistError

# Pages that are never written to take no memory.
_BYTES: Final = 65_536

# The layout: two flags, the length of the failure in four bytes, the failure as JSON.
_SERVES, _REPLACED = 0, 1
_LENGTH: Final = slice(2, 6)
_FAILURE: Final = 6

# Both fit, even if JSON escapes every character as six bytes.
_REASON_CHARACTERS: Final = 2_000
_TRACEBACK_CHARACTERS: Final = 8_000


class Failure(msgspec.Struct, frozen=True):
    """The reason why a worker ended, and the exit status if the service ends because of it."""

    status: int
    reason: str
    traceback: str = ""


class WorkerStatus:
    """The status of one worker; the master creates it before the fork."""

    def __init__(self) -> None:
        # Anonymous shared memory survives the fork and needs no cleanup.
        self._memory = mmap.mmap(-1, _BYTES)

    @property
    def serves(self) -> bool:
        """True once the worker accepts requests."""
        return bool(self._memory[_SERVES])

    def note_serving(self) -> None:
        """Report to the master that the worker accepts requests."""
        self._memory[_SERVES] = 1

    @property
    def replaced(self) -> bool:
        """True if the worker is stopping because a new one has replaced it."""
        return bool(self._memory[_REPLACED])

    def note_replaced(self) -> None:
        """Tell the worker, before stopping it, that a new one has replaced it."""
        self._memory[_REPLACED] = 1

    @property
    def failure(self) -> Failure | None:
        """The reason why the worker could not start, if it reported one."""
        length = int.from_bytes(self._memory[_LENGTH], "big")
        if not length:
            return None
        return msgspec.json.decode(self._memory[_FAILURE : _FAILURE + length], type=Failure)

    def note_failure(self, error: Exception) -> None:
        """Report to the master why the worker cannot start."""
        text = msgspec.json.encode(explain(error))
        self._memory[_FAILURE : _FAILURE + len(text)] = text
        # The length comes last: the worker may be killed before the text is complete.
        self._memory[_LENGTH] = len(text).to_bytes(4, "big")


def explain(error: Exception) -> Failure:
    """Return ``error`` as a failure; only an unforeseen one includes its traceback."""
    if isinstance(error, ImportError | SyntaxError | AppImportError):
        error = BrokenInstallation("the web application", str(error))
    if isinstance(error, MistError):
        return Failure(error.exit_status, str(error)[:_REASON_CHARACTERS])
    reason = "".join(traceback.format_exception_only(error)).strip()
    trace = "".join(traceback.format_exception(error))
    return Failure(Exit.FAILURE, reason[:_REASON_CHARACTERS], trace[-_TRACEBACK_CHARACTERS:])
