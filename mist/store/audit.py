"""What users and programs have changed, and who they were."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, select

from mist import clock
from mist.store import tables
from mist.store.database import Database
from mist.store.records import AuditRecord

_audit = tables.audit

# Longer texts are cut; those of our own messages are far shorter.
_CHARACTERS = 500


class Audit:
    """The table ``audit``, which keeps the newest records."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def add(self, by: str, address: str, action: str, text: str, *, keep: int) -> None:
        """Add a record, and delete all but the newest ``keep``."""
        with self._data.write() as connection:
            newest = self._data.insert(
                connection,
                _audit,
                at=clock.now(),
                by=by[:_CHARACTERS],
                address=address[:_CHARACTERS],
                action=action[:_CHARACTERS],
                text=text[:_CHARACTERS],
            )
            connection.execute(delete(_audit).where(_audit.c.id <= newest - keep))

    def newest(self, limit: int, before: int | None = None) -> list[AuditRecord]:
        """Return the newest records, newest first, or those with an id below ``before``."""
        query = select(_audit).order_by(_audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(_audit.c.id < before)
        with self._data.read() as connection:
            return [_record(row) for row in connection.execute(query)]


def _record(row: Row[Any]) -> AuditRecord:
    return AuditRecord(row.id, row.at, row.by, row.address, row.action, row.text)
