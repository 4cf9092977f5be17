"""Validate names, addresses, ports and URLs, for both HTTP and the command line.

Each function returns the value in its canonical form, or raises UsageError with the
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
from mist.visible import visible

# execve(2) accepts 128 KiB for one string; a container's environment should be far smaller.
MAX_ENV_BYTES: Final = 65_536

_EMAIL: Final = re.compile(
    r"[^\s@<>\"(),:;\\\[\]\x00-\x20\x7f\ud800-\udfff]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The engine's own pattern (moby, daemon/names: RestrictedNameChars), with a limit in length.
CONTAINER_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}"
_CONTAINER: Final = re.compile(CONTAINER_NAME)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESTART: Final = re.compile(r"no|always|unless-stopped|on-failure(:[0-9]{1,4})?")
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
_SCP: Final = re.compile(
    r"(?:[A-Za-z0-9._][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?![:/-])\S+"
)
# A name, an IPv4 address, or an IPv6 address without brackets.
_HOST: Final = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]*")
# What git-check-ref-format(1) forbids in a branch name.
_NO_BRANCH: Final = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|(?:^|/)\.|[/.]$|^[-/]|^@$"
)
_GIT_SCHEMES: Final = frozenset({"https", "http", "ssh", "git", "file"})


def email(text: str) -> str:
    """Return an email address in lower case; the domain may be a host name like ``localhost``."""
    # RFC 5321 §4.5.3.1.3, without brackets.  Controls of text could hide or reorder characters.
    if len(text) > 254 or not _EMAIL.fullmatch(text) or visible(text) != text:
        raise UsageError(f"{text[:80]!r} is not an email address such as ada@example.com")
    # An address with compatibility characters could be confused with another user's.
    plain = unicodedata.normalize("NFKC", text)
    if plain != text:
        raise UsageError(
            f"{text[:80]!a} contains look-alike characters; write it as {plain[:80]!r}"
        )
    return emails.canonical(text)


def name(text: str, what: str = "application") -> str:
    """Return the name of an application or project; digits alone would look like an id."""
    if not _NAME.fullmatch(text) or text.isdigit():
        raise UsageError(
            f"{text[:80]!r} is not a valid {what} name; use up to 64 letters, digits, '.', '_' and "
            "'-', beginning with a letter or digit, and not digits alone"
        )
    return text


def container(text: str) -> str:
    """Return a container name that the engine accepts."""
    if not _CONTAINER.fullmatch(text):
        raise UsageError(
            f"{text[:80]!r} is not a container name; use 2 to 128 letters, digits, '_', '.' and "
            "'-', beginning with a letter or digit"
        )
    return text


def port(value: int | str) -> int:
    """Return a TCP port, or raise UsageError unless it is from 1 to 65535."""
    text = str(value)
    # The length avoids the conversion of endless digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535):
        raise UsageError(f"the port must be a number from 1 to 65535, not {text[:64]}")
    return int(text)


def integer(what: str, text: str, least: int, most: int) -> int:
    """Return the decimal number in ``text``; UsageError names ``what`` and the value."""
    if not (text.isascii() and text.isdigit()):
        kind = "a positive integer" if least else "an integer of 0 or more"
        raise UsageError(f"{what} must be {kind}, not {text[:64]!r}")
    # Comparing lengths first avoids the conversion of endless digits.
    if len(text) > len(str(most)) or not least <= int(text) <= most:
        raise UsageError(f"{what} must be from {least} to {most}, not {text[:64]}")
    return int(text)


def git_url(text: str) -> str:
    """Return the address of a repository: a URL of a usual protocol, or ``user@host:path``.

    Reject what Git would execute: it runs the program named in an ``ext::`` URL, and reads
    a leading hyphen as an option, even after ``ssh://``.
    """
    if len(text) > 2_048:
        raise UsageError("the Git URL must not be longer than 2048 characters")
    if _CONTROL.search(text) or text.startswith("-") or "::" in text.partition("/")[0]:
        raise UsageError("a Git URL must not contain spaces or begin with '-' or 'helper::'")
    if "://" not in text:
        if _SCP.fullmatch(text):
            return text
        raise UsageError(
            "the Git URL must begin with https://, http://, ssh://, git:// or file://, "
            "or have the form git@host:path"
        )
    return _git_url_with_scheme(text)


def _git_url_with_scheme(text: str) -> str:
    try:
        parts = urlsplit(text)
        # Reading ``port`` raises ValueError if it is not a number.
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise UsageError("the Git URL has an invalid host or port") from None
    if parts.scheme not in _GIT_SCHEMES:
        raise UsageError(
            f"the Git URL must use https, http, ssh, git or file, not {parts.scheme[:20]!r}"
        )
    is_file = parts.scheme == "file"
    if is_file and (parts.netloc or not parts.path.startswith("/")):
        raise UsageError("a file URL must have the form file:///srv/repository.git")
    if not is_file and (not _HOST.fullmatch(host) or (parts.username or "").startswith("-")):
        raise UsageError("the Git URL has no valid host name")
    # Arguments of the git process are visible to every user of the machine.
    if parts.scheme in ("http", "https") and (parts.query or parts.fragment):
        raise UsageError("the Git URL must not contain '?' or '#'; put credentials before the host")
    if parts.scheme not in ("http", "https") and parts.password is not None:
        raise UsageError(f"{parts.scheme}:// accepts no password; give the service a key instead")
    return text


def public_git_url(text: str) -> str:
    """Return the URL without user name and password."""
    if "://" not in text:
        return text
    parts = urlsplit(text)
    # A password may contain "@": the last one separates it from the host.
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def branch(text: str) -> str:
    """Return a branch name that git-check-ref-format(1) allows."""
    if not text or len(text) > 255 or _NO_BRANCH.search(text):
        raise UsageError(f"{text[:80]!r} is not a branch name that Git allows")
    return text


def dockerfile(text: str) -> str:
    """Return the path of the Dockerfile within the repository."""
    path = PurePosixPath(text)
    if (
        not text.strip()
        or len(text) > 1_024
        or "\x00" in text
        or path.is_absolute()
        or ".." in path.parts
        or not path.parts
    ):
        raise UsageError("the Dockerfile must be a relative path inside the repository")
    return str(path)


def restart_policy(text: str) -> str:
    """Return a restart policy of the engine."""
    if not _RESTART.fullmatch(text):
        raise UsageError(
            f"{text[:80]!r} is not a restart policy: "
            "use no, always, unless-stopped or on-failure[:N]"
        )
    return text


def is_variable(text: str) -> bool:
    """Return True if this is the name of an environment variable."""
    return _VARIABLE.fullmatch(text) is not None


def environment(values: dict[str, str]) -> dict[str, str]:
    """Return the environment variables of a container."""
    size = 0
    for key, value in values.items():
        if not is_variable(key):
            raise UsageError(f"{key[:80]!r} is not a variable name; use letters, digits and '_'")
        if "\x00" in value:  # ends a string in execve(2)
            raise UsageError(f"the value of {key[:80]} contains a NUL character")
        try:
            size += len(key) + len(value.encode())
        except UnicodeEncodeError:  # bytes of a terminal or a pipe (PEP 383)
            raise UsageError(f"the value of {key[:80]} is not UTF-8 text") from None
    if size > MAX_ENV_BYTES:
        raise UsageError(f"the environment is larger than {MAX_ENV_BYTES} bytes")
    return values


def assignments(pairs: Iterable[str]) -> dict[str, str]:
    """Parse ``NAME=VALUE`` texts into environment variables."""
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair[:80]!r} does not have the form NAME=VALUE")
        values[key] = value
    return environment(values)
