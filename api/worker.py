"""The gunicorn worker class of the web tier, by the name that gunicorn's configuration uses."""

from api.websocket.balance import release
from api.websocket.worker import MistWorker, note_reload

__all__ = ["MistWorker", "note_reload", "release"]
