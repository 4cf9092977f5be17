"""The store as a whole: the accessors of its tables, its schema, and how to open it."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import inspect, select, text

from mist.errors import StoreError
from mist.paths import Paths
from mist.settings import Settings
from mist.store import database, migrations, tables
from mist.store.apps import Apps
from mist.store.audit import Audit
from mist.store.database import Database
from mist.store.deployments import Deployments
from mist.store.projects import Projects
from mist.store.sessions import Sessions
from mist.store.tokens import Tokens
from mist.store.users import Users


class Store:
    """All persistent state except the logs of deployments.

    Every method raises StoreError if the database cannot be read or written; the text
    says what to do.
    """

    def __init__(self, data: Database) -> None:
        self._data = data
        self.users = Users(data)
        self.projects = Projects(data)
        self.apps = Apps(data)
        self.deployments = Deployments(data)
        self.sessions = Sessions(data)
        self.audit = Audit(data)
        self.tokens = Tokens(data)

    def migrate(self) -> None:
        """Upgrade the tables to this program's schema version, if necessary."""
        database.create_file(self._data.engine)
        if self._revision() == migrations.HEAD:  # the usual start, without a write lock
            return
        with self._data.write() as connection:
            migrations.upgrade(connection, self._data.name)

    def check(self) -> None:
        """Raise StoreError unless the database answers and has this program's schema version."""
        revision = self._revision()
        if revision is None:
            raise StoreError(
                f"the store {self._data.name} has no tables; start `mist up` once to create them"
            )
        if revision != migrations.HEAD:
            raise StoreError(
                f"the store {self._data.name} has schema version {revision}, this program needs "
                f"{migrations.HEAD}; restart `mist up` with the newest version of Mist"
            )

    @cached_property
    def installation(self) -> str:
        """The random id of this installation, drawn when the store was created.

        It has 32 hexadecimal digits.  Containers of the installation carry it as a label,
        session tokens as a claim.
        """
        with self._data.read() as connection:
            return str(connection.execute(select(tables.installation.c.id)).scalar_one())

    def close(self) -> None:
        """Close the database connections."""
        self._data.close()

    def _revision(self) -> str | None:
        with self._data.read() as connection:
            # The database has no tables at all.
            if not inspect(connection).has_table("alembic_version"):
                return None
            revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return None if revision is None else str(revision)


def open_store(settings: Settings, paths: Paths) -> Store:
    """Return the store named in the settings; it connects on first use.

    Call after the fork: a database connection must not be shared between processes.
    """
    return Store(database.connect(settings.store.url, paths.database, settings.store.busy_seconds))
