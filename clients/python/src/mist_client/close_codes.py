"""The meaning of close codes and refused handshakes, and whether another attempt can help."""

from __future__ import annotations

from typing import Final, NamedTuple

from mist_client.errors import Reason, ReasonCode

ABNORMAL: Final = 1006
"""The connection ended without a close frame (RFC 6455 §7.1.5)."""


class Verdict(NamedTuple):
    """A reason; ``final`` means that another attempt would not help."""

    reason: Reason
    final: bool


class _Meaning(NamedTuple):
    code: ReasonCode
    message: str
    final: bool = False


# 1000 to 1015 are RFC 6455's and IANA's; 44xx are the service's, after HTTP's 4xx.
_MEANINGS: Final = {
    1001: _Meaning("restarting", "The service is stopping"),
    ABNORMAL: _Meaning("network", "The connection was lost"),
    1011: _Meaning("unavailable", "The service had an internal error"),
    1012: _Meaning("restarting", "The service is restarting"),
    1013: _Meaning("unavailable", "The service cannot serve this now"),
    1014: _Meaning("unavailable", "The proxy cannot reach the service"),
    4401: _Meaning("unauthorized", "The session has expired", final=True),
    4403: _Meaning("forbidden", "Permission denied", final=True),
    4404: _Meaning("not-found", "Not found", final=True),
    4408: _Meaning("unavailable", "The service waited too long"),
    4409: _Meaning("not-running", "The container is not running", final=True),
    4410: _Meaning("unreadable", "The container's log cannot be read", final=True),
    4425: _Meaning("unavailable", "The service cannot serve this yet"),
    4429: _Meaning("unavailable", "Too many requests"),
}
_UNKNOWN_REFUSAL: Final = _Meaning("refused", "The service refuses this stream", final=True)
_UNKNOWN: Final = _Meaning("network", "The connection was closed")


def explain_close(code: int, said: str = "") -> Verdict:
    """Return the reason for a close code; ``said`` is the service's own explanation, if any."""
    unknown = _UNKNOWN_REFUSAL if 4400 <= code < 4500 else _UNKNOWN
    meaning = _MEANINGS.get(code, unknown)
    return Verdict(Reason(meaning.code, said or meaning.message, code), meaning.final)


def explain_status(status: int, message: str) -> Verdict:
    """Return the reason for a handshake that was answered with an HTTP status."""
    # HTTP's 408, 425 and 429 ask the client to retry, and a proxy's 5xx passes.
    if status in {408, 425, 429} or status >= 500:
        return Verdict(Reason("unavailable", message), final=False)
    codes: dict[int, ReasonCode] = {401: "unauthorized", 403: "forbidden", 404: "not-found"}
    return Verdict(Reason(codes.get(status, "refused"), message), final=True)
