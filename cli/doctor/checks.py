"""The checks of ``mist doctor``, except the one of the engine."""

from __future__ import annotations

import http.client
import os
import pwd
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from bus import topics
from bus.subscriber import ask_replay
from cli import terminal
from mist import addresses, clock
from mist.accounts import secret
from mist.errors import BusError, MistError, UsageError
from mist.paths import Paths, out_of_reach, tampering
from mist.settings import Settings
from mist.sizes import human
from mist.status import StatusRow
from mist.store import open_store
from supervisor.control import ask_status
from supervisor.watch import MISSED_SECONDS

Verdict = Literal["ok", "warn", "fail"]

# With less free space the service will stop soon, or it is time to take a look.
_DISK_FAIL: Final = 64 * 1024**2
_DISK_WARN: Final = 1024**3

# Files that a worker needs in addition to its clients' sockets.
_SPARE_FILES: Final = 256

# The maximum length of a Unix socket's path on Linux, including the final NUL (unix(7)).
_SOCKET_PATH: Final = 108

_PROBE_SECONDS: Final = 2.0

# A process that was restarted within this time is mentioned.
_RECENT_SECONDS: Final = 600.0


class Finding(NamedTuple):
    """One line of the report; ``advice`` says what to do if not everything is fine."""

    verdict: Verdict
    subject: str
    text: str
    advice: str = ""


Check = Callable[[Settings, Paths], Iterator[Finding]]


def check_port(settings: Settings, _paths: Paths) -> Iterator[Finding]:
    """Check that the web tier can listen, or already does."""
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
    """Return True if the server on this port answers like Mist."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(target, port, timeout=_PROBE_SECONDS)
    try:
        with closing(connection):
            connection.request("GET", "/healthz")
            # Any server may be listening there, so read only a little.
            answer = msgspec.json.decode(connection.getresponse().read(4_096))
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return False
    return isinstance(answer, dict) and {"success", "message", "data"} <= answer.keys()


def check_files(settings: Settings, _paths: Paths) -> Iterator[Finding]:
    """Check that the limit of open files allows as many clients as the settings."""
    # Of this user, not of the unit.  The service raises its soft limit to the hard one.
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.server.worker_connections + _SPARE_FILES
    text = f"{limit} open files allowed, {needed} needed per web worker"
    if limit >= needed:
        yield Finding("ok", "files", text)
    else:
        advice = f"raise the limit (`ulimit -Hn {needed}`, LimitNOFILE={needed} in the unit)"
        yield Finding("warn", "files", text, f"{advice} or lower server.worker_connections")


def check_home(_settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Check that the state can be written and has room to grow."""
    home, existing = paths.home, _nearest(paths.home)
    problem = tampering(home, home)
    if problem:
        yield Finding("fail", "state", f"{home} is not safe to use", problem)
        return
    if not os.access(existing, os.W_OK | os.X_OK):
        advice = f"give user {user()} write access, or set MIST_HOME"
        yield Finding("fail", "state", f"{existing} is not writable", advice)
        return
    free = shutil.disk_usage(existing).free
    text = f"{home} {'' if home == existing else 'will be created, '}{human(free)} free".strip()
    if free >= _DISK_WARN:
        yield Finding("ok", "state", text)
    else:
        verdict: Verdict = "fail" if free < _DISK_FAIL else "warn"
        yield Finding(verdict, "state", text, "free some space, or move MIST_HOME")


def check_secret(_settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Check that the key that signs sessions is safe from other users."""
    if not os.path.lexists(paths.secret):  # or this user may not search the directory
        return
    try:
        secret.load(paths)
    except MistError as error:
        yield Finding("fail", "secret", str(error), "the text above says what to do")
        return
    yield Finding("ok", "secret", str(paths.secret))


def check_runtime(_settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Check that this user can create sockets under MIST_RUNTIME, and other users cannot."""
    runtime, existing = paths.runtime, _nearest(paths.runtime)
    longest = len(os.fsencode(runtime / "control")) + 1  # the NUL counts
    if longest > _SOCKET_PATH:
        text = f"{runtime} is too long for a socket path ({longest} of {_SOCKET_PATH} bytes)"
        yield Finding("fail", "sockets", text, "set MIST_RUNTIME to a shorter path")
    elif not os.access(existing, os.W_OK | os.X_OK):
        advice = f"give user {user()} write access, or set MIST_RUNTIME"
        yield Finding("fail", "sockets", f"{existing} is not writable", advice)
    elif problem := tampering(runtime, paths.home):
        yield Finding("fail", "sockets", f"{runtime} is not safe to use", problem)
    else:
        yield Finding("ok", "sockets", str(runtime))


def _nearest(path: Path) -> Path:
    """Return the path, or its nearest existing ancestor as far as this user can see."""
    while not os.path.exists(path) and path != path.parent:  # Path.exists may raise PermissionError
        path = path.parent
    return path


def _as_another(subject: str, path: Path) -> Finding:
    advice = "run this as the user that runs the service, or as a member of its group"
    return Finding("fail", subject, f"user {user()} may not use {path}", advice)


def check_store(settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Check that the store opens and has this program's schema."""
    if not settings.store.url and out_of_reach(paths.database):
        yield _as_another("store", paths.database)
        return
    if not settings.store.url and not paths.database.exists():  # before the first start
        yield Finding("ok", "store", f"{paths.database} will be created by the first `mist up`")
        return
    try:
        store = open_store(settings, paths)
        try:
            store.check()
            applications = len(store.apps.all())  # shows that tables can be read
        finally:
            store.close()
    except MistError as error:
        yield Finding("fail", "store", str(error), "the text above says what to do")
        return
    yield Finding("ok", "store", f"opens, {applications} applications")


def check_bus(_settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Check that the service is running."""
    socket_path = Path(paths.endpoint("replay").removeprefix("ipc://"))
    if out_of_reach(socket_path):
        yield _as_another("service", socket_path)
        return
    if not socket_path.exists():
        yield Finding("warn", "service", "mist is not running", "start it with `mist up`")
        return
    with terminal.bus_context() as context:
        try:
            # A socket may be left over from a killed service; only an answer counts.
            ask_replay(context, paths, topics.METRICS, timeout=_PROBE_SECONDS)
        except BusError as error:
            yield Finding("warn", "service", str(error), "start it with `mist up`")
            return
    yield Finding("ok", "service", f"running, its broker answers in {paths.runtime}")


def check_processes(_settings: Settings, paths: Paths) -> Iterator[Finding]:
    """Check that every process of a running service responds, and has not been replaced lately."""
    socket_path = Path(paths.endpoint("control").removeprefix("ipc://"))
    if not socket_path.exists():  # reported by check_bus
        return
    if out_of_reach(socket_path):
        # Members of the group may use the bus, and need not see the processes.
        yield _as_another("process", socket_path)._replace(verdict="warn")
        return
    with terminal.bus_context() as context:
        try:
            status = ask_status(context, paths, timeout=_PROBE_SECONDS)
        except BusError:
            text = f"the supervisor does not answer on {socket_path}"
            yield Finding("fail", "process", text, "restart the service")
            return
    troubles = list(filter(None, map(_trouble, status.processes)))
    if not troubles:
        text = f"the supervisor answers, {len(status.processes)} processes respond"
        yield Finding("ok", "process", text)
    yield from troubles


def _trouble(row: StatusRow) -> Finding | None:
    """Return a finding about a process that does not run, or was replaced a short time ago."""
    if row.silent is not None and row.silent > MISSED_SECONDS:
        text = f"{row.process} has not responded for {row.silent:.0f} s"
        return Finding("fail", "process", text, "the supervisor replaces it in a few seconds")
    if row.state in {"hung", "failed"}:
        advice = "the log of the service says more; `mist status` shows when it is tried again"
        return Finding("fail", "process", f"{row.process} is {row.state}: {row.why}", advice)
    age = time.time() - clock.nanoseconds(row.since) / 1e9
    if row.state == "backoff" or (row.restarts and age < _RECENT_SECONDS):
        text = f"{row.process} was restarted {row.restarts} times, lately because: {row.why}"
        return Finding("warn", "process", text, "if this repeats, look into the service's log")
    return None


def check_git(_settings: Settings, _paths: Paths) -> Iterator[Finding]:
    """Check that Git is installed, which deployments need."""
    found = shutil.which("git")
    if found:
        yield Finding("ok", "git", found)
    else:
        yield Finding("warn", "git", "not found", "deployments need it: `apt install git`")


def user() -> str:
    """Return the name of this process's user, or its numeric id."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
