"""The errors of the client, and the reasons why a stream was lost or refused."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

ReasonCode = Literal[
    "unauthorized",
    "forbidden",
    "not-found",
    "not-running",
    "unreadable",
    "untrusted",
    "refused",
    "unavailable",
    "restarting",
    "network",
]


BROKEN_OFF: Final = "The answer was broken off before its end"


class Reason(msgspec.Struct, frozen=True):
    """Why a stream was lost or refused; ``message`` is the service's own text if it sent one."""

    code: ReasonCode
    message: str
    close_code: int | None = None
    """The close code of the WebSocket, or None if there was no close frame."""


class MistError(Exception):
    """The base of all errors that this package raises besides ValueError and TypeError."""


class ApiError(MistError):
    """The service answered a request with an error.

    ``status`` is the HTTP status.  ``retry_after`` is the time to wait before the next
    attempt in seconds, or None if the service named none.
    """

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(status, message, retry_after)
        self.status = status
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} (HTTP status {self.status})"


class Unreachable(MistError):
    """The service did not answer, or broke its answer off."""


class StreamError(MistError):
    """A stream cannot go on, and another attempt would not help."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason.message
