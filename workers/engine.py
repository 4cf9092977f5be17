"""The connection to the Docker Engine, for every worker: its address, and requests to it.

The address, TLS, the timeouts, the API version and the errors are decided here.  No
request names an API version, so the engine answers in its own; docker-py asks the engine
for that version.

``get`` sends one request over a plain socket.  It speaks HTTP/1.0, so that the engine does
not chunk the body.  A log collector needs no more, and there may be hundreds of
collectors: a docker-py session would cost several megabytes in each.  Deployments send many
requests, and use docker-py's client (``workers/deployment/client.py``).
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import msgspec

from mist import heartbeat
from mist.errors import EngineError, EngineUnreachable, SettingsError
from mist.paths import user_home
from mist.settings import Settings

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"

# The API version of Docker 20.10, the oldest engine with which the service was tested.
OLDEST_API: Final = (1, 41)

# A longer response head is not the engine's.
_HEAD_BYTES: Final = 65_536
_RECEIVE_BYTES: Final = 65_536
# The wait, in seconds, for the beginning of an answer that may come later.
_MOMENT: Final = 0.25

_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")

_TCP: Final = ("tcp", "http", "https")


def host(settings: Settings) -> str:
    """Return the engine's address: the setting, DOCKER_HOST, or the default socket."""
    return settings.engine.host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST


def reason(error: BaseException) -> str:
    """Return the innermost cause in the operating system's words; libraries wrap it."""
    seen = error
    while True:
        inner = seen.__cause__ or seen.__context__
        wrapped = [part for part in seen.args if isinstance(part, BaseException)]
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
        if not wrapped and inner is None:
            return str(seen) or type(seen).__name__
        # urllib3 and requests pass the wrapped error as an argument, others chain it.
        seen = wrapped[-1] if wrapped else inner or seen


class Certificates(NamedTuple):
    """The files of ``DOCKER_CERT_PATH``; without ``verify`` the engine's is not checked."""

    authority: str
    certificate: str
    key: str
    verify: bool


class Reply(NamedTuple):
    """A response whose head was read; read the rest of the body from the connection."""

    connection: socket.socket
    begun: bytes
    """The part of the body that arrived with the head."""
    answered: bool = True
    """False if the whole head is still to come (:func:`follow`)."""


def dial(settings: Settings) -> socket.socket:
    """Connect to the engine, or raise EngineUnreachable.

    The socket has a timeout of ``engine.timeout_seconds``.
    """
    address = host(settings)
    timeout = settings.engine.timeout_seconds
    parts = split(address)
    try:
        if parts.scheme == "unix":
            return _dial_unix(unix_path(parts), timeout)
        return _dial_tcp(parts, timeout)
    except OSError as error:
        raise EngineUnreachable(address, reason(error)) from None


def split(address: str) -> SplitResult:
    """Split an address: ``unix`` with a path, or ``tcp``, ``http`` or ``https`` with a port."""
    try:
        parts = urlsplit(address if "//" in address else f"tcp://{address}")
        if parts.scheme == "unix" or (parts.scheme in _TCP and parts.hostname and parts.port):
            return parts
    except ValueError:
        pass  # urlsplit() and .port raise it for malformed addresses
    raise SettingsError("engine.host", f"{address!r} is neither unix:///PATH nor tcp://HOST:PORT")


def unix_path(parts: SplitResult) -> str:
    """Return the socket's path; ``unix://engine.sock`` is relative to the current directory."""
    return parts.netloc + parts.path


def certificates(parts: SplitResult) -> Certificates | None:
    """Return the TLS files that the ``docker`` command would use, or None for plain text.

    Raise SettingsError if a file does not exist.
    """
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    named = os.environ.get("DOCKER_CERT_PATH")
    if parts.scheme == "unix" or not (parts.scheme == "https" or verify or named):
        return None
    folder = Path(named) if named else user_home() / ".docker"
    # A client certificate is always needed; the CA only to verify the engine.
    needed = ["cert.pem", "key.pem", *(["ca.pem"] if verify else [])]
    for path in (folder / name for name in needed):
        if not path.is_file():
            problem = f"TLS needs {path}, which is not a file; name the right directory"
            raise SettingsError("DOCKER_CERT_PATH", problem)
    authority, certificate, key = (str(folder / f"{name}.pem") for name in ("ca", "cert", "key"))
    return Certificates(authority, certificate, key, verify)


def _dial_unix(path: str, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _dial_tcp(parts: SplitResult, timeout: float) -> socket.socket:
    files = certificates(parts)
    connection = socket.create_connection((parts.hostname, parts.port), timeout)
    if files is None:
        return connection
    # wrap_socket() takes over the descriptor, so this closes it only after a failure.
    with connection:
        context = ssl.create_default_context(cafile=files.authority if files.verify else None)
        context.load_cert_chain(files.certificate, files.key)
        context.check_hostname = files.verify  # must be off before CERT_NONE is allowed
        context.verify_mode = ssl.CERT_REQUIRED if files.verify else ssl.CERT_NONE
        return context.wrap_socket(connection, server_hostname=parts.hostname)


def get(settings: Settings, path: str, **query: object) -> Reply:
    """Send a GET request; raise EngineRefused for any status other than 200."""
    return _ask(settings, path, query)


def follow(settings: Settings, path: str, **query: object) -> Reply:
    """Send a GET request for a report, and wait only a moment for the answer to begin.

    A proxy may hold the beginning back until there is something to report.
    """
    return _ask(settings, path, query, _MOMENT)


def _ask(
    settings: Settings, path: str, query: Mapping[str, object], patience: float | None = None
) -> Reply:
    """Send a request; without a byte of the answer after ``patience``, return all the same."""
    # Three waits: for the connection, for room in its buffer, and for the answer.
    heartbeat.beat(settings.engine.timeout_seconds)
    connection = dial(settings)
    try:
        heartbeat.beat(settings.engine.timeout_seconds)
        connection.sendall(request("GET", path, query))
        first = b""
        if patience is not None:
            connection.settimeout(patience)
            try:
                first = connection.recv(_RECEIVE_BYTES)
            except TimeoutError:
                return Reply(connection, b"", answered=False)
            connection.settimeout(settings.engine.timeout_seconds)
        status, begun = read_head(partial(connection.recv, _RECEIVE_BYTES), first)
        if status != 200:
            raise EngineRefused(status, begun + _rest(connection, settings))
    except OSError as error:
        connection.close()
        raise EngineUnreachable(host(settings), reason(error)) from None
    except EngineError:
        connection.close()
        raise
    return Reply(connection, begun)


def get_json(settings: Settings, path: str, **query: object) -> Any:
    """Request a JSON document; it must be complete within ``engine.timeout_seconds``."""
    reply = get(settings, path, **query)
    try:
        return msgspec.json.decode(reply.begun + _rest(reply.connection, settings))
    except msgspec.DecodeError:
        raise EngineError(f"the engine's answer to {path} is not JSON") from None
    except OSError as error:
        raise EngineUnreachable(host(settings), reason(error)) from None
    finally:
        reply.connection.close()


class EngineRefused(EngineError):
    """The engine answered with an HTTP status other than 200; the text is the engine's."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body

    def __str__(self) -> str:
        try:
            words = str(msgspec.json.decode(self.body)["message"])
        # A proxy in front of the engine answers in plain text or HTML.
        except (msgspec.DecodeError, KeyError, TypeError):
            words = self.body.decode(errors="replace")
        return plain(words) or f"the engine answered with HTTP status {self.status}"


def plain(words: str) -> str:
    """Return an error's words; empty for a page in HTML, which says no more than the status."""
    words = words.strip()
    return "" if words.startswith("<") else words


def request(
    method: str, path: str, query: Mapping[str, object], headers: Iterable[str] = ()
) -> bytes:
    """Return the head of a request."""
    target = quote(path) + ("?" + urlencode(query) if query else "")
    return "\r\n".join([f"{method} {target} HTTP/1.0", "Host: docker", *headers, "", ""]).encode()


def read_head(receive: Callable[[], bytes], received: bytes = b"") -> tuple[int, bytes]:
    """Return the status of a response, and the part of the body that came with the head.

    ``receive`` returns the bytes after ``received``, or b"" at the end.  Raise ConnectionError
    if the peer hangs up or does not speak HTTP.
    """
    # The other headers do not matter: in HTTP/1.0 the body is neither compressed nor
    # chunked, and it ends with the connection.
    while (end := received.find(b"\r\n\r\n")) < 0:
        data = receive()
        if not data or len(received) > _HEAD_BYTES:
            raise ConnectionError("the engine hung up in the middle of an answer")
        received += data
    match = _STATUS.match(received)
    if match is None:
        raise ConnectionError("the peer does not speak HTTP")
    return int(match[1]), received[end + 4 :]


def is_success(head: bytes) -> bool:
    """Return True if the beginning of a response has the status 200."""
    match = _STATUS.match(head)
    return match is not None and match[1] == b"200"


def _rest(connection: socket.socket, settings: Settings) -> bytes:
    """Return the rest of a body; a body that trickles in does not outlast the timeout."""
    deadline = time.monotonic() + settings.engine.timeout_seconds
    heartbeat.beat(settings.engine.timeout_seconds)
    parts = []
    while data := connection.recv(_RECEIVE_BYTES):
        parts.append(data)
        # Never 0, which would make the socket non-blocking.
        connection.settimeout(max(0.001, deadline - time.monotonic()))
    heartbeat.beat()
    return b"".join(parts)
