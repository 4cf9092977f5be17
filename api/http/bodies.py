"""Request bodies: JSON, bounded, and what is wrong with one is said with the field's name."""

from __future__ import annotations

from typing import TypeVar

import falcon
import msgspec

_T = TypeVar("_T")


class RequestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object that a client sends."""


def read(req: falcon.Request, kind: type[_T]) -> _T:
    """The request's body as a ``kind``; 400 or 413 otherwise."""
    try:
        return msgspec.json.decode(_raw(req) or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise falcon.HTTPBadRequest(description=str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise falcon.HTTPBadRequest(description=f"The body is no JSON: {error}") from None


def _raw(req: falcon.Request) -> bytes:
    limit: int = req.context.services.settings.server.max_body_bytes
    length = req.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    try:
        body: bytes = req.stream.read(limit + 1)
    except OSError:
        raise falcon.HTTPBadRequest(description="The body ended too early") from None
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> falcon.HTTPContentTooLarge:
    # What follows of the body is nobody's: the connection is not used again.
    return falcon.HTTPContentTooLarge(
        description=f"A body has {limit} bytes at most (server.max_body_bytes)",
        headers={"Connection": "close"},
    )
