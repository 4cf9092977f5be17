"""Check the options with which deployments create an application's container.

Each function returns the value in its canonical form, or raises UsageError with the reason.
"""

from __future__ import annotations

import math
import posixpath
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType, structs

from mist.errors import UsageError
from mist.store import BuildLimits, ContainerOptions
from mist.validation import MAX_ENV_BYTES

# The engine's own pattern (moby, daemon/names: RestrictedNameChars).
_VOLUME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}")
_NETWORK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_LABEL: Final = re.compile(r"[^\s=\x00-\x20\x7f]{1,255}")
# Labels of this prefix say which containers a deployment may replace.
_OWN_LABELS: Final = "mist."
_SIZE: Final = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)([bkmgt]?)b?", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
# The engine accepts no less ("Minimum memory limit allowed is 6MB"), and no smaller share.
_LEAST_MEMORY: Final = 6 * 2**20
_MOST_MEMORY: Final = 2**53  # larger numbers are not exact in JavaScript
_LEAST_CPUS: Final = 0.01
_MOST_CPUS: Final = 10_000.0
# Modes of the engine that are not names of networks.
_MODES: Final = frozenset({"host", "none", "default"})


class BuildChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of builds to change; None removes a limit."""

    memory: int | str | UnsetType | None = UNSET
    cpus: float | UnsetType | None = UNSET


class Volume(NamedTuple):
    """A volume or a directory of the host, and its path in the container."""

    source: str
    path: str
    read_only: bool

    @property
    def is_host_path(self) -> bool:
        """Return True for a directory or file of the host."""
        return self.source.startswith("/")

    def __str__(self) -> str:
        return f"{self.source}:{self.path}" + (":ro" if self.read_only else "")


def volume(text: str, host_paths: Sequence[str]) -> Volume:
    """Parse ``NAME:/path[:ro]``, or ``/host/path:/path[:ro]`` below one of ``host_paths``."""
    parts = text.split(":")
    if len(parts) not in {2, 3} or (len(parts) == 3 and parts[2] not in {"ro", "rw"}):
        raise UsageError(f"the volume {text[:200]!r} does not have the form NAME:/path[:ro]")
    source, path = parts[0], _path(parts[1], text)
    if path == "/":
        raise UsageError(f"the volume {text[:200]!r} would hide the container's own files at /")
    if source.startswith("/"):
        source = _path(source, text)
        _check_host_path(source, host_paths)
    elif not _VOLUME.fullmatch(source):
        raise UsageError(
            f"{source[:80]!r} is not a volume name; use 2 to 128 letters, digits, '_', '.' and "
            "'-', beginning with a letter or digit, or an absolute path of the host"
        )
    return Volume(source, path, parts[2:] == ["ro"])


def volumes(texts: Iterable[str], host_paths: Sequence[str]) -> tuple[str, ...]:
    """Return the volumes of an application; each path of the container has at most one."""
    found: dict[str, Volume] = {}
    for text in texts:
        parsed = volume(text, host_paths)
        if parsed.path in found:
            raise UsageError(f"two volumes have the path {parsed.path[:200]!r}")
        found[parsed.path] = parsed
    return tuple(map(str, found.values()))


def labels(values: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a container."""
    for key, value in values.items():
        if not _LABEL.fullmatch(key):
            raise UsageError(
                f"{key[:80]!r} is not a label; use up to 255 characters without spaces and '='"
            )
        if key.startswith(_OWN_LABELS):
            raise UsageError(f"the label {key[:80]!r} begins with 'mist.', which is reserved")
        _check_text(value, f"the label {key[:80]!r}")
    _check_size(" ".join((*values, *values.values())), "the labels")
    return dict(values)


def networks(names: Iterable[str]) -> tuple[str, ...]:
    """Return the networks of a container, which the engine has to have at a deployment."""
    found = tuple(names)
    for name in found:
        if name in _MODES or not _NETWORK.fullmatch(name):
            raise UsageError(
                f"{name[:80]!r} is not the name of a network; `docker network ls` lists them "
                "(only deployments.network may share the network of the host or a container)"
            )
        if found.count(name) > 1:
            raise UsageError(f"the network {name!r} is named twice")
    return found


def memory(value: int | str) -> int:
    """Return a limit in bytes; text may have a unit, such as ``512m`` or ``1.5g``."""
    size = _SIZE.fullmatch(str(value).strip())
    # A float would do for all sizes but the largest, which are refused.
    number = int(float(size[1]) * _UNITS[size[2].lower()]) if size else 0
    if not _LEAST_MEMORY <= number <= _MOST_MEMORY:
        raise UsageError(
            f"the memory limit {str(value)[:64]!r} is not a size of at least 6m, "
            "such as 512m or 1.5g"
        )
    return number


def cpus(value: float) -> float:
    """Return a limit in processors, such as 0.5."""
    if not (math.isfinite(value) and _LEAST_CPUS <= value <= _MOST_CPUS):
        raise UsageError(f"the limit of cpus must be from 0.01 to 10000, not {value}")
    # The engine counts in billionths.
    return round(float(value), 9)


def command(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return the words of a command; a text is split as a shell would split it."""
    try:
        words = tuple(shlex.split(value) if isinstance(value, str) else value)
    except ValueError as error:  # an open quotation
        raise UsageError(f"the command {str(value)[:80]!r} cannot be split: {error}") from None
    if not words:
        raise UsageError("the command is empty; leave it out for the image's own command")
    for word in words:
        _check_text(word, "the command")
    _check_size(" ".join(words), "the command")
    return words


def changed(
    before: ContainerOptions, given: Mapping[str, Any], host_paths: Sequence[str]
) -> ContainerOptions:
    """Return the options after a change; ``given`` has the fields to set, None for the default.

    ``labels`` and ``build`` are merged, and a value of None removes an entry (RFC 7396).
    """
    options = before
    for name, value in given.items():
        if value is None:
            new: Any = getattr(ContainerOptions(), name)
        elif name == "labels":
            new = labels(merged(before.labels, value))
        elif name == "build":
            new = _build(before.build, value)
        elif name == "volumes":
            new = volumes(value, host_paths)
        else:
            new = _CHECKS[name](value)
        options = structs.replace(options, **{name: new})
    return options


def merged(before: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return the values after a change, of which None removes an entry."""
    both = {**before, **changes}
    return {key: value for key, value in both.items() if value is not None}


_CHECKS: Final[dict[str, Any]] = {
    "networks": networks,
    "memory": memory,
    "cpus": cpus,
    "command": command,
}


def _build(before: BuildLimits, changes: BuildChanges) -> BuildLimits:
    limits = before
    if changes.memory is not UNSET:
        number = None if changes.memory is None else memory(changes.memory)
        limits = structs.replace(limits, memory=number)
    if changes.cpus is not UNSET:
        limits = structs.replace(limits, cpus=None if changes.cpus is None else cpus(changes.cpus))
    return limits


def _path(text: str, whole: str) -> str:
    if not text.startswith("/") or ".." in text.split("/") or not text.isprintable():
        raise UsageError(
            f"the volume {whole[:200]!r} needs an absolute path without '..', not {text[:200]!r}"
        )
    # normpath() keeps two slashes at the beginning (POSIX), the engine does not.
    return posixpath.normpath("/" + text.lstrip("/"))


def _check_host_path(path: str, allowed: Sequence[str]) -> None:
    for prefix in allowed:
        base = posixpath.normpath(prefix).rstrip("/")
        if path == base or path.startswith(base + "/"):
            return
    raise UsageError(
        f"the path {path[:200]!r} of the host is not allowed; use a named volume, or allow it in "
        "deployments.host_paths"
    )


def _check_text(text: str, what: str) -> None:
    if "\x00" in text:  # ends a string in execve(2)
        raise UsageError(f"{what} contains a NUL character")


def _check_size(text: str, what: str) -> None:
    if len(text.encode(errors="replace")) > MAX_ENV_BYTES:
        raise UsageError(f"{what} take more than {MAX_ENV_BYTES} bytes")
