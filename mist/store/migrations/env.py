"""Alembic's way in: the connection, with its transaction, is handed over by the program."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
