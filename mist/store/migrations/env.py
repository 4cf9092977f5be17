"""Alembic's entry point; the program passes in the connection with its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
