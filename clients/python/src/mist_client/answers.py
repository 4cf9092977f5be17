"""Texts for error answers and failed connections."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import msgspec

from mist_client.errors import BROKEN_OFF, ApiError, Unreachable


class _Envelope(msgspec.Struct):
    message: str


def message_of(status: int, body: bytes, location: str | None = None) -> str:
    """Return what an answer with an error status says."""
    if location is not None and 300 <= status < 400:
        return f"The service redirects to {location[:200]}; use that address"
    try:
        return msgspec.json.decode(body, type=_Envelope).message
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return (
            "The answer is not one of Mist's; check the address, and the proxy in front of the "
            "service"
        )


def reason_of(error: BaseException) -> tuple[str, bool]:
    """Return why there is no connection, and True if the certificate is not trusted."""
    found = _system_error(error)
    if isinstance(found, ssl.SSLCertVerificationError):
        text = f"The service's certificate is not trusted: {found.verify_message}"
        return f"{text}; for a private CA, give its file as `ca`", True
    if isinstance(found, ssl.SSLError):
        return (
            f"The service does not speak TLS ({found.reason or found}); is it an http address?",
            False,
        )
    if isinstance(found, TimeoutError):
        return "The service takes too long to answer", False
    return f"The service cannot be reached: {_words(found)}", False


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio has a text of its own
    words = error.strerror if isinstance(error, OSError) else None
    return words or str(error) or type(error).__name__


def _system_error(error: BaseException) -> BaseException:
    """Return the system's error around which the libraries wrapped their own."""
    found, inner = error, error.__cause__ or error.__context__
    while inner is not None:
        if isinstance(inner, OSError):
            found = inner
        inner = inner.__cause__ or inner.__context__
    return found


def seconds_of(retry_after: str | None) -> float | None:
    """Return the value of a ``Retry-After`` header in seconds, if it is a number."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None


@contextmanager
def valid_addresses() -> Iterator[None]:
    """Raise ValueError for an address that the library refuses."""
    try:
        yield
    except httpx2.InvalidURL as error:
        raise ValueError(
            f"the address of the service, or of a proxy in the environment, is not valid: {error}"
        ) from None


def check(answer: httpx2.Response) -> None:
    """Raise the error of an answer, which has been read, that is not successful."""
    if not answer.is_success:
        status, headers = answer.status_code, answer.headers
        message = message_of(status, answer.content, headers.get("Location"))
        raise ApiError(status, message, seconds_of(headers.get("Retry-After")))


def unreachable(error: httpx2.HTTPError) -> Unreachable:
    """Return the error of a request without an answer, or without the end of one."""
    if isinstance(error, httpx2.ReadError | httpx2.RemoteProtocolError):
        return Unreachable(BROKEN_OFF)
    if isinstance(error, httpx2.ReadTimeout):
        return Unreachable("The service takes too long to answer")
    return Unreachable(reason_of(error)[0])
