"""The ids of the store."""

from typing import Final

# The largest integer of SQLite and PostgreSQL.
MAX_ID: Final = 2**63 - 1


def parse_id(text: str) -> int | None:
    """Return the id in ``text``, or None if no object can have it."""
    # isdigit() alone accepts "²", int() also spaces and underscores, and int() of a long
    # text takes quadratic time.
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_ID)):
        return None
    return int(text) if 1 <= int(text) <= MAX_ID else None
