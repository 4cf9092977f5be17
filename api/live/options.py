"""The query parameters of the streams: what is wrong is said, with the reason."""

from __future__ import annotations

import falcon

from mist import validation
from mist.errors import UsageError
from mist.ids import MAX_ID
from mist.log_range import LogRange, log_range


def identifier(req: falcon.Request, name: str) -> int:
    """A positive integer that must be there."""
    text = req.get_param(name)
    if text is None:
        raise falcon.HTTPBadRequest(description=f"{name} is missing: add ?{name}=… to the address")
    return _integer(name, text, 1, MAX_ID)


def count(req: falcon.Request, name: str, most: int) -> int | None:
    """An integer from 0 to ``most``, or None if the parameter is not there."""
    text = req.get_param(name)
    return None if text is None else _integer(name, text, 0, most)


def lines(req: falcon.Request, default: int) -> LogRange:
    """What ``tail`` and ``since`` ask for; without both the last ``default`` lines."""
    since = req.get_param("since")
    try:
        # An unescaped "+01:00" arrives as " 01:00": the query's encoding of a blank.
        return log_range(req.get_param("tail"), since and since.replace(" ", "+"), default)
    except UsageError as error:
        raise falcon.HTTPBadRequest(description=str(error)) from None


def switch(req: falcon.Request, name: str) -> bool:
    """Whether ``name=1`` was given; 0 and absence mean no."""
    text = req.get_param(name)
    if text not in (None, "0", "1"):
        raise falcon.HTTPBadRequest(description=f"{name} must be 0 or 1, not {text!r}")
    return text == "1"


def _integer(name: str, text: str, least: int, most: int) -> int:
    try:
        return validation.integer(name, text, least, most)
    except UsageError as error:
        raise falcon.HTTPBadRequest(description=str(error)) from None
