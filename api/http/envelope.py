"""The JSON envelope of every response: ``{"success":…,"message":…,"data":…}``."""

from __future__ import annotations

from typing import Final

import falcon
import msgspec

CONTENT_TYPE: Final = "application/json"

_encode: Final = msgspec.json.Encoder().encode


class Envelope(msgspec.Struct, frozen=True):
    """The body of a response; ``message`` is for people."""

    success: bool
    message: str
    data: object = None


def reply(
    resp: falcon.Response, data: object, message: str = "OK", status: str = falcon.HTTP_200
) -> None:
    """Send a successful response with ``data``."""
    resp.status = status
    resp.context.message = message  # for the record of changes
    write(resp, Envelope(True, message, data))


def write(resp: falcon.Response, envelope: Envelope) -> None:
    """Write an envelope into a response."""
    resp.data = _encode(envelope)  # bytes, which Falcon sends as they are
    resp.content_type = CONTENT_TYPE
