"""The gunicorn worker class of the web tier, by the name that gunicorn's configuration uses."""

from api.websocket.balance import release
from api.websocket.worker import MistWorker

__all__ = ["MistWorker", "note_reload", "release"]


def note_reload() -> None:
    """Do nothing: configurations that were installed by an older version call this."""
