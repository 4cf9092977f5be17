"""The options of ``mist app add`` and ``mist app edit``, and the values that they stand for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from mist import validation
from mist.apps import options as app_options
from mist.errors import UsageError

_F = TypeVar("_F", bound=Callable[..., Any])

# The fields that `mist app edit --clear` resets.
CLEARABLE: Final = (
    "container", "git", "branch", "dockerfile", "port", "env", "restart-policy", "project",
    "volumes", "labels", "networks", "memory", "cpus", "command", "build",
)  # fmt: skip

_OPTIONS: Final = (
    click.option("--container", help="Name of its container (default: mist-app-ID)."),
    click.option("--git", "git_url", metavar="URL", help="Repository to deploy from."),
    click.option("--branch", help="Branch to deploy (default: the repository's default branch)."),
    click.option("--dockerfile", help="Its path in the repository (default: Dockerfile)."),
    click.option("--port", type=int, help="Port on which it listens inside its container."),
    click.option(
        "--env", "variables", multiple=True, metavar="K[=V]",
        help="Variable; without a value, that of this command's environment; repeatable.",
    ),
    click.option(
        "--env-file", "env_files", multiple=True, metavar="FILE",
        help="File of K=V lines, as for `docker run`; - is standard input; repeatable.",
    ),
    click.option(
        "--env-stdin", metavar="K",
        help="Variable whose value is all of standard input, such as a key of several lines.",
    ),
    click.option("--restart-policy", help="As for `docker run` (default: unless-stopped)."),
    click.option("--project", help="Project whose members may see it."),
    click.option(
        "--volume", "volumes", multiple=True, metavar="NAME:/PATH[:ro]",
        help="Volume of its container; repeatable.",
    ),
    click.option(
        "--label", "labels", multiple=True, metavar="K=V", help="Label of its container."
    ),
    click.option("--network", "networks", multiple=True, help="Network to join; repeatable."),
    click.option("--memory", metavar="SIZE", help="Limit of memory, such as 512m."),
    click.option("--cpus", type=float, help="Limit of processors, such as 0.5."),
    click.option("--command", metavar="TEXT", help="Command instead of the image's."),
    click.option("--build-memory", metavar="SIZE", help="Limit of memory of build steps."),
    click.option("--build-cpus", type=float, help="Limit of processors of build steps."),
)  # fmt: skip


def options(function: _F) -> _F:
    """Add the options for an application's fields to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def fields(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the API that the options stand for; those not given are left out."""
    found = dict(given)
    for name in ("cpus", "build_cpus"):
        if found[name] is not None:
            app_options.cpus(found[name])  # here, because JSON has neither nan nor inf
    env = variables(found.pop("variables"), found.pop("env_files"), found.pop("env_stdin"))
    labels = _pairs(found.pop("labels"))
    build = {name: found.pop(f"build_{name}") for name in ("memory", "cpus")}
    found |= {"volumes": list(found["volumes"]), "networks": list(found["networks"])}
    found |= {"env": env, "labels": labels, "build": _given(build)}
    return _given(found)


def variables(texts: Iterable[str], files: Iterable[str], from_stdin: str | None) -> dict[str, str]:
    """Return the environment variables; what is named later wins, and ``texts`` win over files."""
    files = list(files)
    if files.count("-") + (from_stdin is not None) > 1:
        raise UsageError("standard input can be read only once; use --env-file with a file")
    found: dict[str, str] = {}
    for name in files:
        found |= _from_lines(_read(name), _source(name))
    if from_stdin is not None:
        # Only the last line ending is removed, as a shell does in $(…).
        found[from_stdin] = _read("-").removesuffix("\n").removesuffix("\r")
    for text in texts:
        found |= _variable(text)
    return validation.environment(found)


def _variable(text: str) -> dict[str, str]:
    if "=" in text:
        return validation.assignments([text])
    if text not in os.environ:
        raise UsageError(
            f"the variable {text[:80]!r} has no value in this command's environment; "
            "write NAME=VALUE, or use --env-file or --env-stdin"
        )
    return {text: os.environ[text]}


def _from_lines(text: str, source: str) -> dict[str, str]:
    """Parse a file as docker does: K=V lines, K alone, comments; quotes are part of a value."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        stripped = line.removesuffix("\r").lstrip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not validation.is_variable(name) or not (equals or name in os.environ):
            # The line is not shown, because it may be part of a secret of several lines.
            raise UsageError(
                f"{source}, line {number}: neither NAME=VALUE nor the name of a variable in this "
                "command's environment; for a value of several lines, use --env-stdin"
            )
        found[name] = value if equals else os.environ[name]
    return found


def _source(name: str) -> str:
    return "standard input" if name == "-" else name


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{_source(name)} is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from None


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    """Parse labels; as in docker, a label without a value is empty."""
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [], {})}
