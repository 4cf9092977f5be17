"""Find the credentials left by ``docker login`` for the registries that a build needs.

The lookup is that of the ``docker`` command: the registry's own helper (``credHelpers``),
then the default store (``credsStore``), then the file itself.  Trouble does not fail a
build, because most images need no credentials; it is reported in the log.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mist.paths import user_home
from workers.deployment import programs
from workers.deployment.cancellation import CancellationToken
from workers.deployment.dockerfile import instructions

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
    images = [image.strip("\"'") for image in _IMAGE.findall(instructions(dockerfile))]
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
    auths, helpers = _table(config, "auths"), _table(config, "credhelpers")
    store = config.get("credsstore")
    found: dict[str, Login] = {}
    notes = []
    if wanted is None:
        wanted = _known([*auths, *helpers])
        try:
            wanted |= _known(_list(str(store), seconds, cancellation) if store else ())
        except _Trouble as error:
            notes.append(f"No list of logins from docker-credential-{store}: {error}")
    for registry in sorted(wanted):
        login = None
        names = _spellings(registry, [*auths, *helpers])
        for name in names:
            helper = helpers.get(name, store)
            try:
                if helper and login is None:
                    login = _ask(str(helper), name, seconds, cancellation)
            except _Trouble as error:
                notes.append(f"No login for {name} from docker-credential-{helper}: {error}")
        # Without an answer from a helper, the file may still have credentials.
        try:
            login = login or _from_file(auths, names)
        except _Trouble as error:
            notes.append(f"No login for {registry} from Docker's config.json: {error}")
        if login:
            found[registry] = login | {"serveraddress": registry}
    return found, notes


def _read() -> dict[str, Any]:
    folder = os.environ.get("DOCKER_CONFIG")
    path = (Path(folder) if folder else user_home() / ".docker") / "config.json"
    try:
        data = path.read_bytes()
    # No ``docker login`` was ever run, which is common.
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return _folded(_first_object(data)) if data.strip() else {}


def _first_object(data: bytes) -> dict[str, Any]:
    """Return a JSON object, as docker's Go reads it; raise ValueError if there is none.

    Text after the object is ignored, and bytes that are not UTF-8 become U+FFFD.
    """
    text = data.decode(errors="replace").lstrip()
    found, _ = json.JSONDecoder().raw_decode(text)
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found


def _folded(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with their names in lower case; Go ignores the case of known names."""
    return {name.lower(): value for name, value in fields.items()}


def _table(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _known(names: Iterable[str]) -> set[str]:
    """Return the registries of these names, where ``docker login`` records each one."""
    return {HUB if _host(name) == _host(HUB) else name for name in names}


def _spellings(registry: str, names: Iterable[str]) -> list[str]:
    """Return the registry and its other names; keys of earlier Docker versions are URLs."""
    return list(dict.fromkeys([registry, *(name for name in names if _host(name) == registry)]))


def _registry(image: str) -> str:
    """Return the key under which the engine looks up the image's registry."""
    # Without a dot or a colon the first part is an account of Docker Hub.
    first, slash, _ = image.partition("/")
    if not slash or not (first == "localhost" or set(first) & set(".:")):
        return HUB
    return HUB if first in ("docker.io", "index.docker.io") else first


def _host(address: str) -> str:
    return address.rpartition("://")[2].partition("/")[0]


def _from_file(auths: dict[str, Any], names: Iterable[str]) -> Login | None:
    """Return the credentials that the file has under the first of these names."""
    entries = (_folded(auths[name]) for name in names if isinstance(auths.get(name), dict))
    entry = next(entries, {})
    fields = ("username", "password", "identitytoken", "registrytoken")
    login = {name: str(entry[name]) for name in fields if entry.get(name)}
    if entry.get("auth"):
        try:
            # The base64 command wraps its lines, and Go ignores the ends of lines.
            encoded = str(entry["auth"]).replace("\n", "").replace("\r", "")
            text = base64.b64decode(encoded, validate=True).decode(errors="replace")
        except ValueError:
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
    answer = _answer(helper, "get", registry, seconds, cancellation)
    if answer is None:
        return None
    try:
        said = _folded(_first_object(answer))
        user, secret = str(said.get("username", "")), str(said["secret"])
    except (ValueError, KeyError):
        raise _Trouble("its answer is not a login in JSON") from None
    return {"identitytoken": secret} if user == _TOKEN else {"username": user, "password": secret}


def _list(store: str, seconds: float, cancellation: CancellationToken) -> list[str]:
    """Return the names of a store's registries (docker-credential-helpers, "list")."""
    answer = _answer(store, "list", "", seconds, cancellation)
    try:
        return list(_first_object(answer)) if answer else []
    except ValueError:
        raise _Trouble("its answer is not a list in JSON") from None


def _answer(
    helper: str, action: str, text: str, seconds: float, cancellation: CancellationToken
) -> bytes | None:
    """Return what the helper prints; None if it has no credentials."""
    command = [f"docker-credential-{helper}", action]
    status, answer = _run(command, text, seconds, cancellation)
    if not status:
        return answer
    if answer.decode(errors="replace").strip().startswith(_NOT_FOUND):
        return None
    # The answer is not shown, because it may contain the secret.
    raise _Trouble(f"it ended with status {status}")


def _run(
    command: list[str], text: str, seconds: float, cancellation: CancellationToken
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
            command, environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdin is not None
            # A helper may exit without reading its input.
            with suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(text.encode())
            programs.pump(process, check, receive)
    except FileNotFoundError:
        raise _Trouble("it is not installed") from None
    except (OSError, ValueError) as error:
        raise _Trouble(getattr(error, "strerror", None) or str(error)) from None
    return process.returncode, bytes(answer)
