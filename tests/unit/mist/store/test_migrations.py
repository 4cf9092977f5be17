"""Tests of the schema's versions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Table, create_engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from mist.errors import StoreError
from mist.paths import Paths
from mist.settings import Settings
from mist.store import Store, migrations, open_store, tables

_MIGRATE = (
    "import sys; from pathlib import Path; from mist.paths import Paths;"
    "from mist.settings import Settings; from mist.store import open_store;"
    "home = Path(sys.argv[1]); open_store(Settings(), Paths(home, home)).migrate()"
)


def test_the_versions_make_the_tables(store: Store, tmp_path: Path) -> None:
    """Migrations make the tables that the program describes."""
    engine = create_engine(f"sqlite:///{tmp_path}/store/mist.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("table", tables.metadata.sorted_tables, ids=str)
def test_postgresql_has_the_same_tables(table: Table) -> None:
    """PostgreSQL's tables have 64-bit ids from the database, and times of the same precision."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    words = str(CreateTable(table).compile(dialect=dialect))
    assert " SERIAL" not in words
    assert words.count("FLOAT(53)") == words.count("FLOAT")


def test_head_is_the_newest_version() -> None:
    """The constant, which avoids loading Alembic, names the newest migration."""
    config = Config()
    config.set_main_option("script_location", "mist.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_migrating_twice_does_no_harm(store: Store) -> None:
    """Migrating twice keeps the rows."""
    app = store.apps.add("web")
    store.migrate()
    store.check()
    assert store.apps.all() == [app]


def test_processes_may_migrate_at_the_same_time(tmp_path: Path) -> None:
    """Concurrent migrations wait for each other, and one of them makes the tables."""
    processes = [
        subprocess.Popen([sys.executable, "-c", _MIGRATE, str(tmp_path)]) for _ in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    open_store(Settings(), Paths(tmp_path, tmp_path)).check()


def test_a_store_without_tables_says_what_makes_them(tmp_path: Path) -> None:
    """A store without tables or without a file is reported with advice, and no file is made."""
    store = open_store(Settings(), Paths(tmp_path, tmp_path))
    with pytest.raises(StoreError, match="start `mist up` once"):
        store.check()
    with pytest.raises(StoreError, match="start `mist up` once"):
        store.apps.all()


def test_a_store_of_a_newer_version_is_left_alone(store: Store, tmp_path: Path) -> None:
    """A store of a newer version is neither used nor changed."""
    engine = create_engine(f"sqlite:///{tmp_path}/store/mist.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match="version 9999"):
        store.check()
    with pytest.raises(StoreError, match="another version of Mist"):
        store.migrate()


def test_the_tables_can_be_dropped(store: Store, tmp_path: Path) -> None:
    """Downgrading drops the tables."""
    engine = create_engine(f"sqlite:///{tmp_path}/store/mist.db")
    config = Config(attributes={"connection": engine.connect()})
    config.set_main_option("script_location", "mist.store:migrations")
    with config.attributes["connection"] as connection, connection.begin():
        command.downgrade(config, "base")
    with pytest.raises(StoreError, match=r"has no tables|has schema version None"):
        store.check()


def test_an_installation_keeps_its_identity(store: Store, tmp_path: Path) -> None:
    """An installation's id is generated once, and differs between stores."""
    first = store.installation
    assert re.fullmatch("[0-9a-f]{32}", first)
    again = open_store(Settings(), Paths(tmp_path, tmp_path))
    again.migrate()
    assert again.installation == first
    (tmp_path / "other").mkdir()
    other = open_store(Settings(), Paths(tmp_path / "other", tmp_path))
    other.migrate()
    assert other.installation != first


def test_a_store_of_the_first_version_gets_an_identity(store: Store, tmp_path: Path) -> None:
    """Upgrading a store of the first version adds an id and keeps the rows."""
    user = store.users.add("ada@example.com", "a hash")
    engine = create_engine(f"sqlite:///{tmp_path}/store/mist.db")
    config = Config(attributes={"connection": engine.connect()})
    config.set_main_option("script_location", "mist.store:migrations")
    with config.attributes["connection"] as connection, connection.begin():
        command.downgrade(config, "0001")
    engine.dispose()
    store.migrate()
    assert len(store.installation) == 32
    assert store.users.get(user.id) == user
