"""The versions of the schema, run by Alembic inside the program.

To add one: write ``versions/NNNN_what.py`` whose ``down_revision`` is the
newest, and name it in ``HEAD``; a test compares what the versions make with
:mod:`mist.store.tables`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mist.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: The newest version, known without loading Alembic: most starts find it there.
HEAD: Final = "0003"


def upgrade(connection: Connection, name: str) -> None:
    """Run the versions that the database lacks, in the transaction of ``connection``."""
    # Alembic and its templates cost a tenth of a second, and only the first start needs them.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "mist.store:migrations")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            f"the store {name} was made by another version of Mist ({error}); install that one"
        ) from None
