"""The query parameters of the streams: what is wrong is said, with the reason."""

from __future__ import annotations

import falcon

from mist import clock
from mist.ids import MAX_ID


def identifier(req: falcon.Request, name: str) -> int:
    """A positive integer that must be there."""
    text = req.get_param(name)
    if text is None:
        raise falcon.HTTPBadRequest(description=f"{name} is missing: add ?{name}=… to the address")
    return _integer(name, text, 1, MAX_ID)


def count(req: falcon.Request, name: str, most: int = MAX_ID) -> int | None:
    """An integer from 0 to ``most``, or None if the parameter is not there."""
    text = req.get_param(name)
    return None if text is None else _integer(name, text, 0, most)


def timestamp(req: falcon.Request, name: str) -> str | None:
    """An RFC 3339 time stamp in the engine's form, or None if the parameter is not there."""
    text = req.get_param(name)
    if text is None:
        return None
    try:
        # An unescaped "+01:00" arrives as " 01:00": the query's encoding of a blank.
        return clock.normalize(text.replace(" ", "+"))
    except ValueError as error:
        raise falcon.HTTPBadRequest(description=f"{name}: {error}") from None


def switch(req: falcon.Request, name: str) -> bool:
    """Whether ``name=1`` was given; 0 and absence mean no."""
    text = req.get_param(name)
    if text not in (None, "0", "1"):
        raise falcon.HTTPBadRequest(description=f"{name} must be 0 or 1, not {text!r}")
    return text == "1"


def _integer(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit()):
        kind = "a positive integer" if least else "an integer of 0 or more"
        raise falcon.HTTPBadRequest(description=f"{name} must be {kind}, not {text[:64]!r}")
    # Comparing lengths first spares the conversion of digits without end.
    if len(text) > len(str(most)) or not least <= int(text) <= most:
        raise falcon.HTTPBadRequest(
            description=f"{name} must be from {least} to {most}, not {text[:64]}"
        )
    return int(text)
