"""gunicorn as ``mist up`` runs it: ``python -m api.serve -c CONFIGURATION``."""

from __future__ import annotations

from gunicorn.app.wsgiapp import WSGIApplication


class Web(WSGIApplication):  # type: ignore[misc] # gunicorn has no types
    """gunicorn that takes no module from where it was started."""

    def chdir(self) -> None:
        """Stay, and leave ``sys.path`` as it is.

        gunicorn puts the current directory first, and in a directory with an
        ``api`` of its own would run that one.
        """


if __name__ == "__main__":
    Web("%(prog)s [OPTIONS]", prog="gunicorn").run()
