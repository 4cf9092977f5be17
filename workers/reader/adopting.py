"""A reader that describes an application's container for ``mist app adopt`` from afar."""

from __future__ import annotations

import socket
from contextlib import suppress

import msgspec
import structlog

from mist import heartbeat
from mist.errors import Conflict, EngineError, EngineUnreachable, NotFound, StoreError
from mist.paths import Paths
from mist.read_request import Head, ReadRequest, frame, refusal
from mist.settings import Settings
from mist.store import open_store
from workers.deployment import adopting

log = structlog.get_logger(__name__)


def answer(
    settings: Settings, paths: Paths, request: ReadRequest, connection: socket.socket
) -> None:
    """Send the description, or the reason why nothing can be adopted."""
    try:
        description = frame(_describe(settings, paths, request))
        data = frame(msgspec.json.encode(Head(200))) + description + frame(b"")
    except NotFound as error:
        data = refusal(404, str(error))
    except Conflict as error:
        data = refusal(409, str(error))
    except EngineUnreachable:
        data = refusal(503, "Docker Engine is unreachable")  # without its address
    except EngineError as error:
        data = refusal(503, f"The Docker Engine could not describe the container: {error}")
    except StoreError as error:
        log.error("store_not_read", reason=str(error))
        data = refusal(503, "The store cannot be read; see the service's log")
    stall = settings.reader.stall_seconds
    connection.settimeout(stall)
    # A client that has left or does not read is not this program's failure.
    with heartbeat.blocking(stall), suppress(OSError):
        connection.sendall(data)


def _describe(settings: Settings, paths: Paths, request: ReadRequest) -> bytes:
    store = open_store(settings, paths)
    try:
        app = store.apps.get(request.app_id) if request.app_id is not None else None
        if app is None:
            raise NotFound("Application not found")
        return msgspec.json.encode(adopting.look(store, settings, app))
    finally:
        store.close()
