"""What answers and failed connections say, for people."""

from __future__ import annotations

import ssl
from typing import Final

import httpx2
import msgspec

from mist_client.errors import ApiError, Unreachable

BROKEN_OFF: Final = "The answer was broken off before its end"


class _Envelope(msgspec.Struct):
    message: str


def message_of(status: int, body: bytes, location: str | None = None) -> str:
    """Return what an answer with an error status says."""
    if location is not None and 300 <= status < 400:
        return f"The service redirects to {location[:200]}; use that address"
    try:
        return msgspec.json.decode(body, type=_Envelope).message
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return (
            "The answer is not one of Mist's; check the address, and the proxy in front of the "
            "service"
        )


def reason_of(error: BaseException) -> tuple[str, bool]:
    """Return why there is no connection, and True if the certificate is not trusted."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner  # the libraries wrap it in their own words
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"The service's certificate is not trusted: {error.verify_message}"
        return f"{text}; for a private CA, give its file as `ca`", True
    if isinstance(error, ssl.SSLError):
        return f"The service does not speak TLS ({error.reason}); is it an http address?", False
    words = error.strerror if isinstance(error, OSError) else None
    return f"The service cannot be reached: {words or error or type(error).__name__}", False


def seconds_of(retry_after: str | None) -> float | None:
    """Return the value of a ``Retry-After`` header in seconds, if it is a number."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else None


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
