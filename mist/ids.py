"""Ids of the store."""

from typing import Final

#: The largest id: SQLite's and PostgreSQL's largest integer.
MAX_ID: Final = 2**63 - 1
