"""Parse numbers in query strings."""

from __future__ import annotations

import falcon

from mist.ids import parse_id


def limit(req: falcon.Request, default: int, most: int) -> int:
    """Return the value of ``?limit=N``, from 1 to ``most``; respond with 400 otherwise."""
    text = req.get_param("limit")
    if text is None:
        return default
    number = parse_id(text)
    if number is None or number > most:
        raise falcon.HTTPBadRequest(description=f"limit must be a number from 1 to {most}")
    return number
