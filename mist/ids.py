"""The range of ids in the store."""

from typing import Final

# The largest integer of SQLite and PostgreSQL.
MAX_ID: Final = 2**63 - 1
