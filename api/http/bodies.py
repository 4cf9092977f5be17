"""Read request bodies: bounded JSON, with errors that name the field."""

from __future__ import annotations

from typing import TypeVar

import falcon
import msgspec

_T = TypeVar("_T")


class RequestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object in a request body; unknown fields are errors."""


def read(req: falcon.Request, kind: type[_T]) -> _T:
    """Return the request's body as a ``kind``; respond with 400 or 413 if it is invalid."""
    try:
        return msgspec.json.decode(_body(req) or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise falcon.HTTPBadRequest(description=str(error)) from None
    # Nested brackets exhaust the decoder's stack.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise falcon.HTTPBadRequest(
            description=f"The request body is not valid JSON: {error}"
        ) from None


def _body(req: falcon.Request) -> bytes:
    return raw(req, req.context.services.settings.server.max_body_bytes, "server.max_body_bytes")


def raw(req: falcon.Request, limit: int, setting: str) -> bytes:
    """Return the request's body; respond with 413 if it is larger than ``setting`` allows."""
    length = req.content_length
    if length is not None and length > limit:
        raise _too_large(limit, setting)
    try:
        # One byte more, which tells a longer body without reading it.
        body: bytes = req.stream.read(limit + 1)
    except TimeoutError:
        raise falcon.HTTPError(
            falcon.HTTP_408,
            description="The request body did not arrive in time (server.request_seconds)",
            headers={"Connection": "close"},
        ) from None
    except OSError:
        raise falcon.HTTPBadRequest(description="The request body ended too early") from None
    if len(body) > limit:
        raise _too_large(limit, setting)
    return body


def _too_large(limit: int, setting: str) -> falcon.HTTPContentTooLarge:
    # The rest of the body is still in the socket, so the connection cannot be reused.
    return falcon.HTTPContentTooLarge(
        description=f"The request body is larger than {limit} bytes ({setting})",
        headers={"Connection": "close"},
    )
