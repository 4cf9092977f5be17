"""The entry point of a reader: one process for each request for older lines."""

from __future__ import annotations

import os
import select
import socket
import threading

import structlog

from mist.errors import EngineError, EngineUnreachable, UsageError
from mist.paths import Paths
from mist.process import Assignment
from mist.read_request import ReadRequest
from mist.settings import Settings
from workers import engine, labels
from workers.reader.answer import Answer, ClientLeft
from workers.reader.kept import KeptLines, OlderLines
from workers.reader.reading import Reading
from workers.reader.runs import Change, changes_of
from workers.reader.search import chooser
from workers.reader.source import EngineLog
from workers.references import Inspection, find_container, inspect

log = structlog.get_logger(__name__)


def main(
    _assignment: Assignment,
    settings: Settings,
    paths: Paths,
    request: ReadRequest,
    connection: socket.socket,
) -> None:
    """Answer one request over ``connection``."""
    end_with(connection)
    try:
        if request.adopts:
            # With the store and docker-py, which readers of logs do without.
            from workers.reader import adopting  # noqa: PLC0415

            adopting.answer(settings, paths, request, connection)
        else:
            _serve(settings, paths, request, connection)
    except ClientLeft:
        log.debug("client_left")
    finally:
        connection.close()


def end_with(connection: socket.socket) -> None:
    """End this process as soon as the peer closes its end."""

    def watch() -> None:
        poller = select.poll()
        poller.register(connection, select.POLLRDHUP)
        poller.poll()
        os._exit(0)  # nothing has to be cleaned up, and the main thread may be blocked

    threading.Thread(target=watch, name="client", daemon=True).start()


def _serve(
    settings: Settings, paths: Paths, request: ReadRequest, connection: socket.socket
) -> None:
    answer = Answer(connection, request, settings.reader.stall_seconds)
    try:
        chooser(request)  # reports an invalid pattern before the engine is asked
        found = _containers(settings, request)
        logs = [EngineLog(settings, each) for each in found]
        containers = [log.container for log in logs]
        older: OlderLines = KeptLines(paths, request, containers, logs[0].check_time)
        for log in logs:
            reading = older = Reading(log, request, settings, answer, older)
        reading.run(_changes(settings, request, found))
    except (UsageError, EngineError) as error:
        answer.refuse(*_problem(error))


def _changes(
    settings: Settings, request: ReadRequest, containers: list[Inspection]
) -> list[Change]:
    # Among the lines that a search finds, they would not stand where something changed.
    if not request.status or request.format == "text" or request.q or request.stream:
        return []
    return [change for each in containers for change in changes_of(settings, each)]


def _containers(settings: Settings, request: ReadRequest) -> list[Inspection]:
    """Return the container; before it, of an application, the one it replaces."""
    assert request.container is not None
    found = find_container(settings, request.container)
    if found is None:
        raise NoSuchContainer(request.container)
    of = found["Config"].get("Labels") or {}
    old, replaces = None, of.get(labels.REPLACES)
    # It is set aside until its log is kept, once the new container has stayed up.
    if replaces and request.app_id is not None:
        name = labels.side_name(request.container, "before", of.get(labels.DEPLOYMENT, ""))
        old = inspect(settings, replaces, name)
    return [each for each in (old, found) if each is not None]


class NoSuchContainer(EngineError):
    """The engine has no container with the requested name."""

    def __str__(self) -> str:
        return "Container not found"


def _problem(error: UsageError | EngineError) -> tuple[int, str]:
    """Return the HTTP status and message for an error before the first line."""
    if isinstance(error, UsageError):
        return 400, str(error)
    if isinstance(error, NoSuchContainer):
        return 404, str(error)
    if isinstance(error, EngineUnreachable):
        return 503, "Docker Engine is unreachable"  # without its address
    if isinstance(error, engine.EngineRefused):
        if error.status == 404:
            return 404, "Container not found"
        if "does not support reading" in str(error):
            return 409, (
                "The container's log driver does not support reading; "
                "create the container with the driver json-file, local or journald"
            )
    return 503, f"The Docker Engine could not read the log: {error}"
