"""``mist doctor``: check what the service needs, and say what to do."""

from __future__ import annotations

import grp
import os
import platform
import re
import stat
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import SplitResult

import click
import msgspec
import zmq
from rich.console import Console
from rich.text import Text

import mist
from cli import terminal
from cli.doctor import checks
from cli.doctor.checks import Finding, Verdict
from mist.errors import Exit, MistError, SettingsError
from mist.paths import Paths, locate_paths
from mist.settings import DEFAULT_FILE, Settings, load_settings
from mist.visible import visible

if TYPE_CHECKING:
    from workers.engine import EngineRefused

_STYLES: Final[dict[Verdict, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red"}


# ``user:password@`` in an address, or a parameter, as database drivers take it.
_PASSWORD: Final = re.compile(r"://[^/@:\s]*:[^@\s]+@|[?&;]\s*(?:password|pwd)=", re.IGNORECASE)


# The requests without which something is missing, and what.  The query of /events makes its
# answer end at once.
_REQUESTS: Final[tuple[tuple[str, dict[str, str], str, Verdict], ...]] = (
    ("/info", {}, "containers and images are counted in their lists", "warn"),
    ("/events", {"since": "1", "until": "2"}, "changes of the counts are seen late", "warn"),
    ("/containers/json", {"limit": "1"}, "no log can be read and nothing deployed", "fail"),
    # The engine answers that there is no such container.
    ("/containers/mist-doctor/json", {}, "no log can be read and nothing deployed", "fail"),
    ("/containers/mist-doctor/logs", {"stdout": "1"}, "no log can be read", "fail"),
    ("/images/json", {}, "without GET /info, images are not counted", "warn"),
)
_FORBIDDING: Final = frozenset({401, 403, 405})


class _Version(msgspec.Struct, frozen=True, rename="pascal"):
    """The relevant fields of the engine's ``GET /version``."""

    version: str
    api_version: Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+$")]


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(as_json: bool) -> None:
    """Check engine, permissions, ports, file limits and versions, and say what to do.

    The exit status is 0 if no check fails; warnings do not count.
    """
    findings = list(examine())
    with terminal.quiet_ending():
        _print_json(findings) if as_json else _print(findings)
    failed = any(finding.verdict == "fail" for finding in findings)
    raise SystemExit(Exit.FAILURE if failed else Exit.OK)


def examine() -> Iterator[Finding]:
    """Yield every finding, in the order in which to fix them."""
    yield from versions()
    try:
        settings = load_settings()
    except MistError as error:
        yield Finding("fail", "settings", str(error), "correct the key or the variable")
        return
    yield from _check_settings_file()
    # Unchecked: unsafe directories are findings here, and not an error.
    paths = locate_paths()
    for check in CHECKS:
        yield from check(settings, paths)


def versions() -> Iterator[Finding]:
    """Report the versions that belong in a bug report."""
    names = ("pyzmq", "gunicorn", "gevent", "falcon")
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    python = platform.python_version()
    text = f"mist {mist.__version__}, Python {python}, libzmq {zmq.zmq_version()}, {libraries}"
    yield Finding("ok", "versions", text)


def _check_settings_file() -> Iterator[Finding]:
    """Say which settings are in force, and check that a password in them is a secret."""
    path = Path(os.environ.get("MIST_CONFIG") or DEFAULT_FILE)
    if not path.exists():
        yield Finding("ok", "settings", f"defaults ({path} does not exist)")
    elif (key := _password_in(path)) and path.stat().st_mode & stat.S_IROTH:
        text = f"every user may read {path}, and {key} holds a password"
        advice = f"run `chgrp mist {path}` if the service runs as mist, and `chmod 640 {path}`"
        yield Finding("warn", "settings", text, advice)
    else:
        yield Finding("ok", "settings", str(path))


def _password_in(path: Path) -> str:
    """Return the first key whose value is an address with a password; empty if there is none."""
    for section, table in tomllib.loads(path.read_text("utf-8")).items():
        for key, value in table.items():
            if isinstance(value, str) and _PASSWORD.search(value):
                return f"{section}.{key}"
    return ""


def check_engine(settings: Settings, _paths: Paths) -> Iterator[Finding]:
    """Check that the engine answers."""
    # Imported here: the client is slow to load, and an import error must not hide the rest.
    from workers import engine  # noqa: PLC0415

    address = engine.host(settings)
    try:
        parts = engine.split(address)
        found = msgspec.convert(engine.get_json(settings, "/version"), _Version)
    except SettingsError as error:
        yield Finding("fail", "engine", str(error), "correct the setting, or the variable")
        return
    except engine.EngineRefused as error:
        yield _refused("/version", error, "nothing can be deployed", "fail")
        yield from _check_requests(settings)
        return
    except (MistError, msgspec.ValidationError) as error:
        yield Finding("fail", "engine", str(error), _engine_advice(parts))
        return
    text = f"Docker Engine {found.version} (API {found.api_version}) at {address}"
    # Compared as numbers: 1.9 is less than 1.41.
    if tuple(map(int, found.api_version.split("."))) < engine.OLDEST_API:
        yield Finding("warn", "engine", text, "upgrade the engine to 20.10 or later")
    else:
        yield Finding("ok", "engine", text)
    yield from _check_requests(settings)


def _check_requests(settings: Settings) -> Iterator[Finding]:
    """Find requests that a proxy in front of the engine forbids."""
    from workers import engine  # noqa: PLC0415 - see check_engine

    for path, query, loss, verdict in _REQUESTS:
        try:
            engine.get(settings, path, **query).connection.close()
        except engine.EngineRefused as error:
            if error.status not in _FORBIDDING:
                continue  # it answers, and the collectors report such errors
            yield _refused(path, error, loss, verdict)
        except MistError as error:
            yield Finding("warn", "engine", f"GET {path}: {error}", "look at the engine's log")


def _refused(path: str, error: EngineRefused, loss: str, verdict: Verdict) -> Finding:
    if error.status not in _FORBIDDING:
        return Finding(verdict, "engine", f"GET {path}: {error}", "look at the engine's log")
    option = path.split("/")[1].upper()
    advice = f"allow it in the proxy in front of the engine ({option}=1 in many of them)"
    text = f"GET {path} is forbidden (HTTP status {error.status}): {loss}"
    return Finding(verdict, "engine", text, advice)


def _engine_advice(address: SplitResult) -> str:
    """Return advice for an engine that does not answer."""
    if address.scheme != "unix":
        return (
            "check that the engine listens there, and check DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
        )
    from workers import engine  # noqa: PLC0415 - see check_engine

    path = Path(engine.unix_path(address))
    try:
        status = path.stat()
    except PermissionError:  # the directory of the socket is closed to this user
        return f"user {checks.user()} may not access {path.parent}"
    except OSError:
        return "install and start an engine (`apt install docker.io`), or set DOCKER_HOST"
    if not stat.S_ISSOCK(status.st_mode):
        return f"{path} is not a socket; set DOCKER_HOST or engine.host to the engine's socket"
    if not os.access(path, os.R_OK | os.W_OK):
        return _group_advice(path, status)
    return "the socket exists, but nothing answers; start the engine (`systemctl start docker`)"


def _group_advice(path: Path, status: os.stat_result) -> str:
    """Say which group the user lacks."""
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:  # a group without a name
        group = str(status.st_gid)
    # Adding the user to the group would not help.
    if not status.st_mode & stat.S_IWGRP or status.st_gid == 0:
        return f"{path} belongs to root alone; run mist as root, or give the socket a group"
    return (
        f"user {checks.user()} is not in group {group}, which may use {path}; run "
        f"`usermod -aG {group} {checks.user()}` and log in again"
    )


CHECKS: Final[tuple[checks.Check, ...]] = (
    check_engine,
    checks.check_port,
    checks.check_files,
    checks.check_home,
    checks.check_secret,
    checks.check_runtime,
    checks.check_store,
    checks.check_bus,
    checks.check_processes,
    checks.check_git,
)


def _print(findings: list[Finding]) -> None:
    console = Console()
    for finding in findings:
        line = Text.assemble(
            (f"{finding.verdict:<5}", _STYLES[finding.verdict]),
            (f"{finding.subject:<9}", "bold"),
            visible(finding.text),
        )
        console.print(line, soft_wrap=True)
        if finding.advice:
            console.print(Text(f"{'':14}→ {visible(finding.advice)}"), soft_wrap=True)


def _print_json(findings: list[Finding]) -> None:
    terminal.write_json([finding._asdict() for finding in findings])
