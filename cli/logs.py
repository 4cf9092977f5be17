"""``mist logs``: the logs of applications and containers in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec
import zmq

from bus import topics
from bus.follower import Follower
from cli import terminal
from cli.log_merge import Input, Merger
from cli.log_printer import Printer
from cli.log_reader import LogReader
from cli.log_source import Choice, Source
from cli.remote.choice import chosen_service, remotely
from cli.state import opened_store, user_name
from mist import validation
from mist.apps import management
from mist.errors import UsageError
from mist.ids import MAX_ID
from mist.log_times import moment
from mist.paths import Paths, resolve_paths
from mist.read_request import ReadRequest
from mist.settings import Settings, load_settings
from mist.store import Store
from workers.reader.search import InvalidPattern, line_matcher

if TYPE_CHECKING:
    from cli.remote.service import RemoteService


def _show_remotely(
    service: RemoteService, apps: Sequence[str], containers: Sequence[str], given: dict[str, Any]
) -> int:
    """Print logs of a service on another machine, and return the exit status."""
    from cli.remote import logs  # noqa: PLC0415

    choice = choose(Options(**given), load_settings(or_defaults=True))
    return logs.show(
        service, logs.find_logs(service, apps, containers), choice, given["timestamps"]
    )


class Options(NamedTuple):
    """The options of the command, as they were given."""

    tail: str | None
    since: str | None
    until: str | None
    grep: str | None
    ignore_case: bool
    fixed_strings: bool
    invert_match: bool
    follow: bool | None
    stopped: bool
    timestamps: bool


class Log(NamedTuple):
    """One log to show."""

    name: str
    topic: bytes
    target: dict[str, object]
    """The fields of a request for older lines that name the log."""


@click.command("logs")
@click.argument("app", nargs=-1)
@click.option(
    "--container", multiple=True, metavar="NAME", help="A container of the host; repeatable."
)
@click.option("--tail", metavar="N", help="Begin with the last N lines [100].")
@click.option(
    "--since", metavar="TIME", help="Begin at this RFC 3339 time, or this long ago, such as 2h."
)
@click.option("--until", metavar="TIME", help="End before this time; do not follow.")
@click.option("--grep", metavar="PATTERN", help="Show lines that match (RE2, also older ones).")
@click.option("-i", "--ignore-case", is_flag=True, help="Ignore case in PATTERN.")
@click.option("-F", "--fixed-strings", is_flag=True, help="PATTERN is text.")
@click.option("-v", "--invert-match", is_flag=True, help="Show lines that do not match.")
@click.option(
    "-f/", "--follow/--no-follow", default=None, help="Follow the log, unless --until is given."
)
@click.option("--stopped", is_flag=True, help="Show the last lines of a container that stopped.")
@click.option("--timestamps", is_flag=True, help="Put the engine's time before each line.")
@remotely
def command(app: tuple[str, ...], container: tuple[str, ...], **given: Any) -> None:
    """Follow the container logs of each APP (its name or id) until they end.

    Several logs are merged by the engine's times, with the name before each line.  Lines go
    to the stream that the container wrote them to, standard output or standard error.
    Notes about the stream go to standard error.

    With --since, --until or --grep the log is read from the engine, as far back as it goes.
    """
    if (service := chosen_service()) is not None:
        with terminal.quiet_ending():
            raise SystemExit(_show_remotely(service, app, container, given))
    with terminal.quiet_ending(), terminal.bus_context() as context:
        paths, settings = resolve_paths(), load_settings()
        options = Options(**given)
        choice = choose(options, settings)
        with opened_store() as store:
            logs = find_logs(store, app, container, settings)
        if choice.older and len(logs) > settings.reader.max_running:
            raise UsageError(
                f"{len(logs)} logs cannot be read at a time; name at most "
                f"{settings.reader.max_running} (reader.max_running)"
            )
        status = show(context, paths, settings, choice, logs, options.timestamps)
    raise SystemExit(status)


def find_logs(
    store: Store, apps: Sequence[str], containers: Sequence[str], settings: Settings
) -> list[Log]:
    """Return the logs of these applications and containers, each once, or raise UsageError."""
    logs: dict[bytes, Log] = {}
    for text in apps:
        app = management.find_app(store, text)
        topic = topics.container_log(app.id)
        logs.setdefault(topic, Log(app.name, topic, {"app_id": app.id}))
    for name in containers:
        owner = store.apps.by_container(validation.container(name))
        topic = topics.container_log(owner.id) if owner else topics.named_log(name)
        logs.setdefault(topic, Log(name, topic, {"container": name}))
    if not logs:
        raise UsageError("name an application, or a container with --container NAME")
    # Each takes a connection of its own, and others need some, too.
    most = settings.bus.connections // 2
    if len(logs) > most:
        raise UsageError(f"{len(logs)} logs are too many; at most {most} (half of bus.connections)")
    return list(logs.values())


def choose(options: Options, settings: Settings) -> Choice:
    """Return what the options choose from each log, or raise UsageError."""
    since = None if options.since is None else moment("--since", options.since)
    until = None if options.until is None else moment("--until", options.until)
    if since and until and since >= until:
        raise UsageError(f"--since ({since}) must be before --until ({until}); exchange them")
    if options.follow and until:
        raise UsageError("--follow cannot be combined with --until; leave out one of them")
    follow = until is None if options.follow is None else options.follow
    tail = None
    if options.tail is not None:
        tail = validation.integer("--tail", options.tail, 0, MAX_ID)
    elif not (since or until or options.grep):
        tail = settings.streams.tail_lines
    request = ReadRequest(
        user="terminal",
        since=since,
        until=until,
        tail=tail,
        q=_pattern(options, settings),
        regex=not options.fixed_strings,
        case=not options.ignore_case,
        invert=options.invert_match,
    )
    try:
        matches = line_matcher(request)
    except InvalidPattern as error:
        raise UsageError(
            f"--grep: {options.grep!r} is not a valid RE2 regular expression: {error.reason}; "
            "correct it, or search for it as text with -F"
        ) from None
    # The bus remembers the newest lines only.
    older = not follow or bool(since or options.grep) or (tail or 0) > settings.replay.lines
    begin = 0 if older else tail or 0
    return Choice(follow, older, since, request, matches, begin, options.stopped)


def _pattern(options: Options, settings: Settings) -> str:
    if options.grep is None:
        for name in ("ignore_case", "fixed_strings", "invert_match"):
            if getattr(options, name):
                raise UsageError(f"--{name.replace('_', '-')} needs --grep PATTERN")
        return ""
    size, most = len(options.grep.encode()), settings.reader.query_bytes
    if not size:
        raise UsageError("--grep needs a pattern; without it, all lines are shown")
    if size > most:
        raise UsageError(
            f"--grep has {size} bytes, and at most {most} are allowed (reader.query_bytes)"
        )
    return options.grep


def show(  # noqa: PLR0913, PLR0917 - all that the command has found out
    context: zmq.Context[zmq.Socket[bytes]],
    paths: Paths,
    settings: Settings,
    choice: Choice,
    logs: list[Log],
    timestamps: bool,
) -> int:
    """Print the logs until they end, and return the exit status."""
    width = max(len(log.name) for log in logs)
    user = user_name()
    with ExitStack() as stack:
        printers: dict[Input, Printer] = {}
        for log in logs:
            # Each log counts on its own, because merging takes a reader of each at a time.
            reader = f"terminal of {user}: {log.name}"[:320]
            request = msgspec.structs.replace(choice.request, user=reader, **log.target)
            follower = Follower(context, paths, settings, log.topic) if choice.follow else None
            ask = partial(LogReader, settings, paths)
            source = Source(choice._replace(request=request), settings, ask, follower)
            # Closing the follower ends the demand, so the collector may stop.
            stack.callback(source.close)
            name = log.name if len(logs) > 1 else ""
            printers[source] = Printer(timestamps, name, width)
        return Merger(printers).run()
