"""The gunicorn side of the web tier: the master, its workers, and HTTP."""
