"""Ids in paths, and numbers in queries."""

from __future__ import annotations

import falcon

from mist.ids import MAX_ID


def path_id(text: str) -> int | None:
    """The id that a part of a path is; None for what can be no id of anything."""
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_ID)):
        return None
    return int(text) if 1 <= int(text) <= MAX_ID else None


def limit(req: falcon.Request, default: int, most: int) -> int:
    """``?limit=N``, from 1 to ``most``."""
    text = req.get_param("limit")
    if text is None:
        return default
    number = path_id(text)
    if number is None or number > most:
        raise falcon.HTTPBadRequest(description=f"limit is a number from 1 to {most}")
    return number
