"""What a name, an address, a port or a URL may look like; both HTTP and the command ask here.

Each function returns the value in its final form or raises UsageError with the
reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from mist import emails
from mist.errors import UsageError

#: One argument of execve holds 128 KiB; a container's whole environment should be far smaller.
MAX_ENV_BYTES: Final = 65_536

_EMAIL: Final = re.compile(
    r"[^\s@<>\"(),:;\\\[\]\x00-\x20\x7f\ud800-\udfff]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: The engine's own pattern (moby, daemon/names: RestrictedNameChars).
_CONTAINER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESTART: Final = re.compile(r"no|always|unless-stopped|on-failure(:[0-9]{1,4})?")
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
_SCP: Final = re.compile(
    r"(?:[A-Za-z0-9._][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?![:/-])\S+"
)
#: A name, an IPv4 address, or an IPv6 address without its brackets.
_HOST: Final = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]*")
#: What git-check-ref-format(1) forbids in a branch's name.
_NO_BRANCH: Final = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|(?:^|/)\.|[/.]$|^[-/]|^@$"
)
_GIT_SCHEMES: Final = frozenset({"https", "http", "ssh", "git", "file"})


def email(text: str) -> str:
    """An e-mail address, in lower case; its domain may be a host's name such as ``localhost``."""
    if len(text) > 254 or not _EMAIL.fullmatch(text):
        raise UsageError(f"{text[:80]!r} is no e-mail address such as ada@example.com")
    plain = unicodedata.normalize("NFKC", text)
    if plain != text:
        raise UsageError(
            f"{text[:80]!a} holds characters that look like others; write it as {plain[:80]!r}"
        )
    return emails.canonical(text)


def name(text: str, what: str = "application") -> str:
    """The name of an application or a project; never digits alone, which would look like an id."""
    if not _NAME.fullmatch(text) or text.isdigit():
        raise UsageError(
            f"{text[:80]!r} is no name of an {what}: up to 64 letters, digits, '.', '_' and '-', "
            "a letter or digit first, and not digits alone"
        )
    return text


def container(text: str) -> str:
    """A container's name as the engine takes it."""
    if not _CONTAINER.fullmatch(text):
        raise UsageError(
            f"{text[:80]!r} is no container's name: 2 to 128 letters, digits, '_', '.' and '-', "
            "a letter or digit first"
        )
    return text


def port(value: int | str) -> int:
    """A TCP port, from 1 to 65535."""
    text = str(value)
    # The length spares the conversion of digits without end.
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535):
        raise UsageError(f"a port is a number from 1 to 65535, not {text[:64]}")
    return int(text)


def integer(what: str, text: str, least: int, most: int) -> int:
    """Return the decimal number that ``text`` is; UsageError names ``what`` and the value."""
    if not (text.isascii() and text.isdigit()):
        kind = "a positive integer" if least else "an integer of 0 or more"
        raise UsageError(f"{what} must be {kind}, not {text[:64]!r}")
    # Comparing lengths first spares the conversion of digits without end.
    if len(text) > len(str(most)) or not least <= int(text) <= most:
        raise UsageError(f"{what} must be from {least} to {most}, not {text[:64]}")
    return int(text)


def git_url(text: str) -> str:
    """Where a repository is: a URL of the usual protocols, or ``user@host:path``.

    Git runs programs that a URL names (``ext::``), and takes what begins with a
    hyphen for an option, also after ``ssh://``.
    """
    if len(text) > 2_048:
        raise UsageError("a Git URL has 2048 characters at most")
    if _CONTROL.search(text) or text.startswith("-") or "::" in text.partition("/")[0]:
        raise UsageError("a Git URL holds no blanks and begins with neither '-' nor 'helper::'")
    if "://" not in text:
        if _SCP.fullmatch(text):
            return text
        raise UsageError(
            "a Git URL begins with https://, http://, ssh://, git:// or file://, "
            "or is like git@host:path"
        )
    return _git_url_with_scheme(text)


def _git_url_with_scheme(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError("the Git URL's host or port makes no sense") from None
    if parts.scheme not in _GIT_SCHEMES:
        raise UsageError(
            f"Git may use https, http, ssh, git and file here, not {parts.scheme[:20]!r}"
        )
    is_file = parts.scheme == "file"
    if is_file and (parts.netloc or not parts.path.startswith("/")):
        raise UsageError("a file URL is like file:///srv/repository.git")
    if not is_file and (not _HOST.fullmatch(host) or (parts.username or "").startswith("-")):
        raise UsageError("the Git URL names no host")
    # Either would be shown to every user of the machine, as an argument of git's.
    if parts.scheme in ("http", "https") and (parts.query or parts.fragment):
        raise UsageError("a Git URL has no '?' and no '#'; credentials stand before its host")
    if parts.scheme not in ("http", "https") and parts.password is not None:
        raise UsageError(f"{parts.scheme}:// takes no password; give the service a key instead")
    return text


def public_git_url(text: str) -> str:
    """The URL without user and password, for others to read."""
    if "://" not in text:
        return text
    parts = urlsplit(text)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def branch(text: str) -> str:
    """A branch's name by the rules of git-check-ref-format(1)."""
    if not text or len(text) > 255 or _NO_BRANCH.search(text):
        raise UsageError(f"{text[:80]!r} is no branch's name")
    return text


def dockerfile(text: str) -> str:
    """The Dockerfile's path within the repository."""
    path = PurePosixPath(text)
    if (
        not text.strip()
        or len(text) > 1_024
        or "\x00" in text
        or path.is_absolute()
        or ".." in path.parts
        or not path.parts
    ):
        raise UsageError("the Dockerfile's path is relative to the repository and stays in it")
    return str(path)


def restart_policy(text: str) -> str:
    """What the engine restarts a container after."""
    if not _RESTART.fullmatch(text):
        raise UsageError(
            f"{text[:80]!r} is no restart policy: no, always, unless-stopped or on-failure[:N]"
        )
    return text


def environment(values: dict[str, str]) -> dict[str, str]:
    """Variables of a container's environment."""
    for key, value in values.items():
        if not _VARIABLE.fullmatch(key):
            raise UsageError(f"{key[:80]!r} is no variable's name: letters, digits and '_'")
        if "\x00" in value:
            raise UsageError(f"the value of {key[:80]} holds a NUL character")
    if (
        sum(len(key) + len(value.encode(errors="replace")) for key, value in values.items())
        > MAX_ENV_BYTES
    ):
        raise UsageError(f"the environment has more than {MAX_ENV_BYTES} bytes")
    return values


def assignments(pairs: Iterable[str]) -> dict[str, str]:
    """Variables from ``NAME=VALUE`` texts."""
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair[:80]!r} is not like NAME=VALUE")
        values[key] = value
    return environment(values)
