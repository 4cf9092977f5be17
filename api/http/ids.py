"""Parse ids in paths and numbers in query strings."""

from __future__ import annotations

import falcon

from mist.ids import MAX_ID


def path_id(text: str) -> int | None:
    """Return the id in a path segment, or None if no object can have it."""
    # isdigit() alone accepts "²"; int() of a long text takes quadratic time.
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_ID)):
        return None
    return int(text) if 1 <= int(text) <= MAX_ID else None


def limit(req: falcon.Request, default: int, most: int) -> int:
    """Return the value of ``?limit=N``, from 1 to ``most``; respond with 400 otherwise."""
    text = req.get_param("limit")
    if text is None:
        return default
    number = path_id(text)
    if number is None or number > most:
        raise falcon.HTTPBadRequest(description=f"limit must be a number from 1 to {most}")
    return number
