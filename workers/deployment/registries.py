"""Find the credentials left by ``docker login`` for the registries that a build needs.

The lookup is that of the ``docker`` command: the registry's own helper (``credHelpers``),
then the default store (``credsStore``), then the file itself.  Trouble does not fail a
build, because most images need no credentials; it is reported in the log.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from workers.deployment import programs
from workers.deployment.cancellation import CancellationToken

HUB: Final = "https://index.docker.io/v1/"

_IMAGE: Final = re.compile(
    r"^[ \t]*(?:FROM(?:[ \t]+--\S+)*[ \t]+|(?:COPY|ADD)[ \t].*?--from=)(\S+)", re.I | re.M
)
# The limit of a helper's answer, which usually has a few hundred bytes.
_ANSWER_BYTES: Final = 65_536
# The message of a helper without credentials for a registry (docker-credential-helpers).
_NOT_FOUND: Final = "credentials not found"
_TOKEN: Final = "<token>"  # noqa: S105 - the user name that marks one

Login = dict[str, str]


class _Trouble(Exception):
    """Credentials cannot be read; the text says why."""


def needed(dockerfile: str) -> set[str] | None:
    """Return the registries of the Dockerfile's images, or None if a variable names one."""
    images = _IMAGE.findall(dockerfile)
    # A variable's value is known only during the build.
    if any("$" in image for image in images):
        return None
    return {_registry(image) for image in images}


def logins(
    wanted: set[str] | None, seconds: float, cancellation: CancellationToken
) -> tuple[dict[str, Login], list[str]]:
    """Return the credentials by registry, and what went wrong.

    ``wanted`` of None asks for all known registries.  Each helper has ``seconds`` to answer.
    Raise only what the cancellation raises.
    """
    try:
        config = _read()
    except (OSError, ValueError) as error:
        # Without the path that an OSError names, because every viewer of the log reads this.
        reason = getattr(error, "strerror", None) or error
        return {}, [f"Docker's config.json cannot be read, so no login is used: {reason}"]
    auths, helpers = _table(config, "auths"), _table(config, "credHelpers")
    store = config.get("credsStore")
    found: dict[str, Login] = {}
    notes = []
    for registry in sorted(_known(auths, helpers) if wanted is None else wanted):
        login = None
        helper = helpers.get(registry, store)
        try:
            if helper:
                login = _ask(str(helper), registry, seconds, cancellation)
        except _Trouble as error:
            notes.append(f"No login for {registry} from docker-credential-{helper}: {error}")
        # Without an answer from the helper, the file may still have credentials.
        try:
            login = login or _from_file(auths, registry)
        except _Trouble as error:
            notes.append(f"No login for {registry} from Docker's config.json: {error}")
        if login:
            found[registry] = login | {"serveraddress": registry}
    return found, notes


def _read() -> dict[str, Any]:
    folder = os.environ.get("DOCKER_CONFIG")
    path = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
    try:
        data = path.read_bytes()
    # No ``docker login`` was ever run, which is common.
    except (FileNotFoundError, NotADirectoryError):
        return {}
    config = json.loads(data) if data.strip() else {}
    if not isinstance(config, dict):
        raise ValueError("it is not a JSON object")
    return config


def _table(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _known(auths: Iterable[str], helpers: Iterable[str]) -> set[str]:
    """Return the registries named in the file, where ``docker login`` records each one."""
    return {HUB if _host(name) == _host(HUB) else name for name in (*auths, *helpers)}


def _registry(image: str) -> str:
    """Return the key under which the engine looks up the image's registry."""
    # Without a dot or a colon the first part is an account of Docker Hub.
    first, slash, _ = image.partition("/")
    if not slash or not (first == "localhost" or set(first) & set(".:")):
        return HUB
    return HUB if first in ("docker.io", "index.docker.io") else first


def _host(address: str) -> str:
    return address.rpartition("://")[2].partition("/")[0]


def _from_file(auths: dict[str, Any], registry: str) -> Login | None:
    """Return the credentials in the file; keys of earlier Docker versions are URLs."""
    keys = [registry, *(key for key in auths if _host(key) == registry)]
    entry: dict[str, Any] = next(
        (auths[key] for key in keys if isinstance(auths.get(key), dict)), {}
    )
    fields = ("username", "password", "identitytoken", "registrytoken")
    login = {name: str(entry[name]) for name in fields if entry.get(name)}
    if entry.get("auth"):
        try:
            text = base64.b64decode(str(entry["auth"]), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise _Trouble("its auth is not base64") from None
        user, colon, password = text.partition(":")
        if not colon or not user:
            raise _Trouble("its auth is not USER:PASSWORD")
        # The docker command strips NUL bytes from the password.
        login |= {"username": user, "password": password.strip("\0")}
    return login or None


def _ask(
    helper: str, registry: str, seconds: float, cancellation: CancellationToken
) -> Login | None:
    """Return the helper's credentials for the registry (docker-credential-helpers, "get")."""
    status, answer = _run(f"docker-credential-{helper}", registry, seconds, cancellation)
    text = answer.decode(errors="replace").strip()
    if status:
        if text.startswith(_NOT_FOUND):
            return None
        # The answer is not shown, because it may contain the secret.
        raise _Trouble(f"it ended with status {status}")
    try:
        said = json.loads(text)
        user, secret = str(said["Username"]), str(said["Secret"])
    except (ValueError, KeyError, TypeError):
        raise _Trouble("its answer is not a login in JSON") from None
    return {"identitytoken": secret} if user == _TOKEN else {"username": user, "password": secret}


def _run(
    program: str, registry: str, seconds: float, cancellation: CancellationToken
) -> tuple[int, bytes]:
    """Run the helper; its process group has ended when this returns or raises."""
    answer = bytearray()
    deadline = time.monotonic() + seconds

    def check() -> None:
        cancellation.check()
        if time.monotonic() > deadline:
            raise _Trouble("it does not answer in time")

    def receive(piece: bytes) -> None:
        answer.extend(piece)
        if len(answer) > _ANSWER_BYTES:
            raise _Trouble("its answer does not end")

    environment = {name: text for name, text in os.environ.items() if not name.startswith("MIST_")}
    try:
        with programs.running(
            [program, "get"], environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdin is not None
            # A helper may exit without reading its input.
            with suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(registry.encode())
            programs.pump(process, check, receive)
    except FileNotFoundError:
        raise _Trouble("it is not installed") from None
    except (OSError, ValueError) as error:
        raise _Trouble(getattr(error, "strerror", None) or str(error)) from None
    return process.returncode, bytes(answer)
