"""The gunicorn worker class under the name that gunicorn's configuration uses."""

from api.server.accept_balance import release
from api.server.worker import MistWorker

# Installed configurations refer to these names, so they must not change.
__all__ = ["MistWorker", "note_reload", "release"]


def note_reload() -> None:
    """Do nothing; gunicorn configurations installed by older versions call this function."""
