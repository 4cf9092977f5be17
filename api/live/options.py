"""The query parameters of the streams.  An invalid one is an HTTP 400 with the reason."""

from __future__ import annotations

import falcon

from mist import validation
from mist.errors import UsageError
from mist.ids import MAX_ID
from mist.log_range import LogRange, log_range


def identifier(req: falcon.Request, name: str) -> int:
    """Return a required parameter that is a positive integer."""
    text = req.get_param(name)
    if text is None:
        raise falcon.HTTPBadRequest(description=f"{name} is missing: add ?{name}=… to the address")
    return _integer(name, text, 1, MAX_ID)


def container(req: falcon.Request) -> str | None:
    """Return the container's name in ``container``, or None if the parameter is absent."""
    text = req.get_param("container")
    try:
        return None if text is None else validation.container(text)
    except UsageError as error:
        raise falcon.HTTPBadRequest(description=f"container: {error}") from None


def count(req: falcon.Request, name: str, most: int) -> int | None:
    """Return an integer from 0 to ``most``, or None if the parameter is absent."""
    text = req.get_param(name)
    return None if text is None else _integer(name, text, 0, most)


def lines(req: falcon.Request, default: int) -> LogRange:
    """Return the range of ``tail`` and ``since``; the last ``default`` lines without both.

    ``since`` is a time or the ``pos`` of a log message.
    """
    since = req.get_param("since")
    try:
        # In a query, "+" encodes a space.  An unescaped "+01:00" therefore arrives as " 01:00".
        return log_range(req.get_param("tail"), since and since.replace(" ", "+"), default)
    except UsageError as error:
        raise falcon.HTTPBadRequest(description=str(error)) from None


def switch(req: falcon.Request, name: str) -> bool:
    """Return True for ``name=1``, and False for ``name=0`` or if the parameter is absent."""
    text = req.get_param(name)
    if text not in (None, "0", "1"):
        raise falcon.HTTPBadRequest(description=f"{name} must be 0 or 1, not {text!r}")
    return text == "1"


def _integer(name: str, text: str, least: int, most: int) -> int:
    try:
        return validation.integer(name, text, least, most)
    except UsageError as error:
        raise falcon.HTTPBadRequest(description=str(error)) from None
