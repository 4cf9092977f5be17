"""Projects and their members."""

from __future__ import annotations

from sqlalchemy import insert, select

from mist import clock
from mist.errors import AlreadyExists
from mist.store import tables
from mist.store.database import Database
from mist.store.records import Project

_projects = tables.projects
_members = tables.project_members


class Projects:
    """The tables ``projects`` and ``project_members``."""

    def __init__(self, data: Database) -> None:
        self._data = data

    def by_name(self, name: str) -> Project | None:
        """Return the project with this name."""
        query = select(_projects.c.id, _projects.c.name, _projects.c.created_at)
        with self._data.read() as connection:
            row = connection.execute(query.where(_projects.c.name == name)).first()
        return Project(*row) if row else None

    def add(self, name: str) -> Project:
        """Add a project; raise AlreadyExists if the name is taken."""
        created = clock.now()
        with self._data.write() as connection:
            number = self._data.insert(connection, _projects, name=name, created_at=created)
        return Project(number, name, created)

    def add_member(self, project_id: int, user_id: int) -> None:
        """Let a user see the project's applications; adding a member twice has no effect."""
        try:
            with self._data.write() as connection:
                connection.execute(insert(_members).values(project_id=project_id, user_id=user_id))
        except AlreadyExists:
            return
