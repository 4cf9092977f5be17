"""What ``mist doctor`` checks of the host and of the service; the engine it sees to itself."""

from __future__ import annotations

import http.client
import os
import pwd
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from bus import topics
from bus.subscriber import ask_replay
from cli import terminal
from cli.top import human
from mist import addresses
from mist.accounts import secret
from mist.errors import BusError, MistError, UsageError
from mist.paths import Paths, out_of_reach, tampering
from mist.settings import Settings
from mist.store import open_store

Verdict = Literal["ok", "warn", "fail"]

#: Below the first the service stops soon, below the second it is time to look.
_DISK_FAIL: Final = 64 * 1024**2
_DISK_WARN: Final = 1024**3

#: What a process needs beside its clients' sockets.
_SPARE_FILES: Final = 256

#: The length of a Unix socket's path in Linux, with its closing zero (unix(7)).
_SOCKET_PATH: Final = 108

_PROBE_SECONDS: Final = 2.0


class Finding(NamedTuple):
    """One line of the doctor's: ``advice`` says what to do unless all is well."""

    verdict: Verdict
    subject: str
    text: str
    advice: str = ""


Check = Callable[[Settings, Paths], Iterator[Finding]]


def check_port(settings: Settings, _paths: Paths) -> Iterator[Finding]:
    """Whether the web tier can listen, or does so already."""
    bind = settings.server.bind
    try:
        addresses.check_port(bind)
    except addresses.CannotListen as error:
        if isinstance(error, addresses.PortInUse) and _serves_mist(*addresses.split_address(bind)):
            yield Finding("ok", "port", f"mist listens on {bind}")
        else:
            yield Finding("fail", "port", f"{bind}: {error.reason}", error.advice)
    except UsageError as error:
        yield Finding("fail", "port", f"server.bind: {error}", "correct it")
    else:
        yield Finding("ok", "port", f"{bind} is free")


def _serves_mist(host: str, port: int) -> bool:
    """Whether what listens there answers as Mist does."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(target, port, timeout=_PROBE_SECONDS)
    try:
        with closing(connection):
            connection.request("GET", "/healthz")
            answer = msgspec.json.decode(connection.getresponse().read(4_096))
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return False
    return isinstance(answer, dict) and {"success", "message", "data"} <= answer.keys()


def check_files(settings: Settings, _paths: Paths) -> Iterator[Finding]:
    """Whether the limit of open files allows as many clients as the settings do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.server.worker_connections + _SPARE_FILES
    text = f"{soft} open files allowed (at most {hard}), {needed} needed for each web worker"
    if soft >= needed:
        yield Finding("ok", "files", text)
    else:
        advice = f"raise it (`ulimit -n {needed}`, LimitNOFILE={needed} in the unit)"
        yield Finding("warn", "files", text, f"{advice} or lower server.worker_connections")


def check_home(_settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Whether the state can be written, and has room to grow."""
    home, existing = paths.home, _nearest(paths.home)
    problem = tampering(home, home)
    if problem:
        yield Finding("fail", "state", f"{home} is not safe to use", problem)
        return
    if not os.access(existing, os.W_OK | os.X_OK):
        advice = f"give user {user()} the right to write to it, or set MIST_HOME"
        yield Finding("fail", "state", f"{existing} cannot be written", advice)
        return
    free = shutil.disk_usage(existing).free
    text = f"{home} {'' if home == existing else 'will be made, '}{human(free)} free".strip()
    if free >= _DISK_WARN:
        yield Finding("ok", "state", text)
    else:
        verdict: Verdict = "fail" if free < _DISK_FAIL else "warn"
        yield Finding(verdict, "state", text, "free some space, or move MIST_HOME")


def check_secret(_settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Whether the key that signs sessions is this service's alone."""
    if not os.path.lexists(paths.secret):  # also where this user may not look
        return
    try:
        secret.load(paths)
    except MistError as error:
        yield Finding("fail", "secret", str(error), "the text above says what to do")
        return
    yield Finding("ok", "secret", str(paths.secret))


def check_runtime(_settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Whether sockets can be made under MIST_RUNTIME, by this user and no stranger."""
    runtime, existing = paths.runtime, _nearest(paths.runtime)
    longest = len(os.fsencode(runtime / "control")) + 1
    if longest > _SOCKET_PATH:
        text = f"{runtime} is too long for a socket's path ({longest} of {_SOCKET_PATH} bytes)"
        yield Finding("fail", "sockets", text, "set MIST_RUNTIME to a shorter path")
    elif not os.access(existing, os.W_OK | os.X_OK):
        advice = f"give user {user()} the right to write to it, or set MIST_RUNTIME"
        yield Finding("fail", "sockets", f"{existing} cannot be written", advice)
    elif problem := tampering(runtime, paths.home):
        yield Finding("fail", "sockets", f"{runtime} is not safe to use", problem)
    else:
        yield Finding("ok", "sockets", str(runtime))


def _nearest(path: Path) -> Path:
    """The path, or the nearest directory above it that is there, as far as this user may look."""
    while not os.path.exists(path) and path != path.parent:  # pathlib raises PermissionError
        path = path.parent
    return path


def _as_another(subject: str, path: Path) -> Finding:
    advice = "run this as the user that the service runs as, or as one of its group"
    return Finding("fail", subject, f"user {user()} may not use {path}", advice)


def check_store(settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Whether the store opens and has this program's tables."""
    if not settings.store.url and out_of_reach(paths.database):
        yield _as_another("store", paths.database)
        return
    if not settings.store.url and not paths.database.exists():
        yield Finding("ok", "store", f"{paths.database} will be made by the first `mist up`")
        return
    try:
        store = open_store(settings, paths)
        try:
            store.check()
            applications = len(store.apps.all())
        finally:
            store.close()
    except MistError as error:
        yield Finding("fail", "store", str(error), "the text above says what to do")
        return
    yield Finding("ok", "store", f"opens, {applications} applications")


def check_bus(_settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Whether the service runs."""
    socket_path = Path(paths.endpoint("replay").removeprefix("ipc://"))
    if out_of_reach(socket_path):
        yield _as_another("service", socket_path)
        return
    if not socket_path.exists():
        yield Finding("warn", "service", "mist does not run", "start it with `mist up`")
        return
    with terminal.bus_context() as context:
        try:
            ask_replay(context, paths, topics.METRICS, timeout=_PROBE_SECONDS)
        except BusError as error:
            yield Finding("warn", "service", str(error), "start it with `mist up`")
            return
    yield Finding("ok", "service", f"runs, its broker answers in {paths.runtime}")


def check_git(_settings: Settings, _paths: Paths) -> Iterator[Finding]:
    """Whether there is a git for deployments."""
    found = shutil.which("git")
    if found:
        yield Finding("ok", "git", found)
    else:
        yield Finding("warn", "git", "not found", "deployments need it: `apt install git`")


def user() -> str:
    """The name of this process's user, or its number."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
