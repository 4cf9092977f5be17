"""Run ``git`` with nothing but what one task needs.

Strangers control the address and the repository.  Therefore no option can come in through
an argument, and no transport can run a program named in the address.  Hooks, filters and
configuration other than ours are disabled, and Git prompts for no password.

Credentials of an HTTP address are passed in the environment, because every user of the
machine can see arguments, and the build can read ``.git/config``.  Git asks our credential
helper for them when the address's own server wants them, so that a server to which it is
redirected never receives them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from workers.deployment import programs
from workers.deployment.bounds import Bounds
from workers.deployment.errors import GitFailed
from workers.deployment.text import Lines, credentials, origin

FATAL: Final = re.compile(r"^(?:fatal|error): (.*)")
# The limit of one line of Git's output; its lines are short.
LINE_BYTES: Final = 4_096
# The limit of an answer that is kept as a whole.
ANSWER_BYTES: Final = 1_048_576

# Without ``ext``, which runs a program (git-remote-ext(1)).
_PROTOCOLS: Final = "https:http:ssh:git:file"
# Git itself gives up a transfer that stays below one byte per second for this long.
_STALL_SECONDS: Final = 60
_OPTIONS: Final = (
    # Hooks, monitors, askpass helpers and external transports are programs that Git runs.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "http.lowSpeedLimit=1",
    f"http.lowSpeedTime={_STALL_SECONDS}",
    # Read larger files in pieces instead of into memory.
    "core.bigFileThreshold=32m",
    # Check out links as links, whatever Git finds out about the file system.
    "core.symlinks=true",
    # Maintenance would outlive the clone in the background.
    "gc.auto=0",
    "advice.detachedHead=false",
)
# Git gets only these variables of the service: where programs, keys and proxies are.
_INHERITED: Final = (
    *("PATH", "HOME", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"),
)
# Without a terminal ssh must fail instead of asking.  ServerAlive* ends a dead connection
# after a minute.
_SSH: Final = (
    "ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15"
    " -o ServerAliveCountMax=4 -o StrictHostKeyChecking=accept-new"
)
# Prints the credentials in its environment (git-credential(1)).  Git appends the operation
# ("get", "store" or "erase"), which the ``#`` turns into a comment.
_CREDENTIAL_HELPER: Final = (
    r"""!printf 'username=%s\npassword=%s\n' "$MIST_GIT_USER" "$MIST_GIT_PASSWORD" #"""
)


def run(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    bounds: Bounds,
    on_output: Callable[[bytes], object],
) -> int:
    """Return Git's exit status; its process group has ended when this returns or raises."""
    options = [part for option in _OPTIONS for part in ("-c", option)]
    bounds.check()
    try:
        with programs.running(
            ["git", *options, *arguments],
            environment,
            folder=folder,
            memory_bytes=bounds.limits.git_memory_bytes,
        ) as process:
            programs.pump(process, bounds.check, on_output)
    except FileNotFoundError:
        raise GitFailed("git is not installed on this machine") from None
    return process.returncode


def stream(
    arguments: list[str], folder: Path, bounds: Bounds, take: Callable[[bytes], object]
) -> None:
    """Pass Git's output on piece by piece; raise GitFailed with the last piece at an error."""
    last = b""

    def remember(piece: bytes) -> None:
        nonlocal last
        last = piece
        take(piece)

    if run(arguments, folder, environment(""), bounds, remember):
        raise GitFailed(_reason(last))


def ask(arguments: list[str], folder: Path, bounds: Bounds) -> bytes:
    """Return Git's answer to a question that has a short one."""
    output = bytearray()

    def take(piece: bytes) -> None:
        output.extend(piece)
        if len(output) > ANSWER_BYTES:
            raise GitFailed(f"the answer of git {arguments[0]} has more than {ANSWER_BYTES} bytes")

    stream(arguments, folder, bounds, take)
    return bytes(output)


def text(arguments: list[str], folder: Path, bounds: Bounds) -> str:
    """Return Git's answer as text."""
    return ask(arguments, folder, bounds).decode(errors="replace")


def environment(url: str) -> dict[str, str]:
    """Return Git's whole environment, with the credentials in ``url`` for its own server."""
    variables = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    variables |= {
        "LC_ALL": "C.UTF-8",  # the messages are matched in English
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_SSH_COMMAND": _SSH,
        # Only ``git.fetch_lfs`` fetches the content of LFS files.
        "GIT_LFS_SKIP_SMUDGE": "1",
    }
    found = credentials(url)
    if found is not None:
        # As variables, which /proc shows to this user only; arguments are public.
        variables |= {
            # Limited to the origin, so that the target of a redirect does not get them.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"credential.{origin(url)}.helper",
            "GIT_CONFIG_VALUE_0": _CREDENTIAL_HELPER,
            "MIST_GIT_USER": found[0],
            "MIST_GIT_PASSWORD": found[1],
        }
    return variables


def _reason(output: bytes) -> str:
    """Return the first error in Git's output, or the end of it."""
    lines = output.decode(errors="replace").strip().splitlines()
    errors = [fatal[1] for line in lines if (fatal := FATAL.match(line))]
    [reason] = Lines(LINE_BYTES).feed(f"{(errors or lines or ['git failed'])[0]}\n")
    return reason
