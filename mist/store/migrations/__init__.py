"""The schema versions, run by Alembic inside the program.

To add one, write ``versions/NNNN_what.py`` with the newest as its ``down_revision``, and
set ``HEAD`` to it.  A test compares the result with :mod:`mist.store.tables`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mist.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

# A constant, so that a start without pending migrations does not have to load Alembic.
HEAD: Final = "0005"


def upgrade(connection: Connection, name: str) -> None:
    """Run the missing migrations in the transaction of ``connection``."""
    # Loading Alembic and its templates takes 0.1 s, and only the first start needs them.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "mist.store:migrations")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            f"the store {name} was created by another version of Mist ({error}); install that one"
        ) from None
