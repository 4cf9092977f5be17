"""``mist logs`` of a service on another machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from urllib.parse import quote

from cli.log_merge import Input, Merger
from cli.log_printer import Printer
from cli.log_source import Choice
from cli.remote.log_reading import Log, Reading
from cli.remote.log_source import RemoteSource
from cli.remote.service import App, RemoteService
from mist import validation
from mist.errors import UsageError


def find_logs(service: RemoteService, apps: Sequence[str], containers: Sequence[str]) -> list[Log]:
    """Return the logs of these applications and containers, each once."""
    logs: dict[str, Log] = {}
    for text in apps:
        app = service.find_app(text, App)
        log = Log(app.name, {"appId": app.id}, f"/api/apps/{app.id}/logs")
        logs.setdefault(app.container, log)
    for name in map(validation.container, containers):
        path = f"/api/containers/{quote(name, safe='')}/logs"
        logs.setdefault(name, Log(name, {"container": name}, path))
    if not logs:
        raise UsageError("name an application, or a container with --container NAME")
    return list(logs.values())


def show(service: RemoteService, logs: list[Log], choice: Choice, timestamps: bool) -> int:
    """Print the logs until they end, and return the exit status."""
    width = max(len(log.name) for log in logs)
    with ExitStack() as stack:
        printers: dict[Input, Printer] = {}
        for log in logs:
            source = RemoteSource(partial(_read, service, log, choice))
            stack.callback(source.close)
            name = log.name if len(logs) > 1 else ""
            printers[source] = Printer(timestamps, name, width)
        return Merger(printers).run()


def _read(service: RemoteService, log: Log, choice: Choice, source: RemoteSource) -> int:
    return Reading(service, log, choice, source).run()
