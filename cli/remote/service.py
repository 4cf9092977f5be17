"""A service on another machine: its HTTP API and its streams, with a token."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec
import requests
from requests.utils import get_environ_proxies
from websockets.exceptions import ConnectionClosed, InvalidProxy, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, reconnect

import mist
from cli.remote.address import authorities, checked
from mist.errors import Exit, MistError, NotFound, UsageError
from mist.ids import parse_id

_SECONDS: Final = 30.0
# The longest wait for the closing handshake.  Ctrl-C waits for it, too.
_CLOSE_SECONDS: Final = 1.0
# A line has at most 1 MiB, and JSON may write each byte as six.
_MESSAGE_BYTES: Final = 8 * 1024 * 1024
_CHUNK_BYTES: Final = 65_536
_STATUSES: Final = {
    400: Exit.USAGE,
    401: Exit.NO_PERMISSION,
    403: Exit.NO_PERMISSION,
    409: Exit.USAGE,
    413: Exit.USAGE,
}
# Where there is no route, or no method, or another shape of answer than this command expects.
_VERSIONS: Final = (
    "check the address; if it is right, another version of Mist answers than this command's "
    f"({mist.__version__}), so use the same on both machines"
)

# What the libraries raise if there is no connection.  The last two are about the environment's
# proxy: its address is not valid, or it is a SOCKS proxy, which takes another package.
_NO_CONNECTION: Final = (OSError, EOFError, WebSocketException, ValueError, ImportError)

# What decoding raises if an answer or a message is not as Mist writes it.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_T = TypeVar("_T")


class RemoteError(MistError):
    """The service on the other machine refuses a request, or cannot be reached."""

    def __init__(self, text: str, exit_status: Exit = Exit.UNAVAILABLE) -> None:
        super().__init__(text)
        self.exit_status = exit_status


class Unreachable(RemoteError):
    """No connection; a later attempt may succeed."""


class Busy(Unreachable):
    """The service has no place for the request at the moment."""


class Missing(RemoteError):
    """The service does not know what the request names."""


class _Bearer(requests.auth.AuthBase):
    """Add the token, and keep requests from using a password of ~/.netrc instead."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Connect(reconnect):
    """Refuse redirects, because the token is for one address only."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Raise the error of a redirect."""
        return exc


class RemoteService:
    """A service; certificates are checked against the system's CAs, or SSL_CERT_FILE."""

    def __init__(self, url: str, token: str) -> None:
        self.url = checked(url)
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise UsageError("the token has characters that no token has; copy it again")
        self._token = token
        self._session = requests.Session()
        self._trusted = authorities()

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return the ``data`` of the answer; raise RemoteError with the service's reason."""
        return self.answer(method, path, body).data

    def read(self, kind: type[_T], method: str, path: str, body: object = None) -> _T:
        """Return the ``data`` of the answer as a ``kind``."""
        return self.convert(self.call(method, path, body), kind)

    def convert(self, data: object, kind: type[_T]) -> _T:
        """Return data of the service as a ``kind``."""
        try:
            return msgspec.convert(data, kind)
        except msgspec.ValidationError as error:
            raise self.misunderstood(error) from None

    def misunderstood(self, error: Exception) -> RemoteError:
        """Return the error about an answer of another shape."""
        return RemoteError(f"{self.url} answers otherwise than expected: {error}; {_VERSIONS}")

    def answer(self, method: str, path: str, body: object = None) -> Envelope:
        """Return the answer; raise RemoteError with the service's reason."""
        with self._explained():
            answer = self._session.request(
                method,
                f"{self.url}{path}",
                json=msgspec.to_builtins(body),
                auth=_Bearer(self._token),
                timeout=_SECONDS,
                verify=self._trusted,
                allow_redirects=False,  # the token is for this address only
            )
        if answer.is_redirect:
            raise self._redirected(answer.headers["Location"])
        return self._envelope(answer.status_code, answer.content)

    def lines(self, path: str, **parameters: object) -> Iterator[bytes]:
        """Yield the records of a long answer (NDJSON); raise RemoteError as ``call`` does."""
        wanted = {name: str(value) for name, value in parameters.items() if value is not None}
        with (
            self._explained(),
            self._session.get(
                f"{self.url}{path}",
                params=wanted,
                auth=_Bearer(self._token),
                timeout=_SECONDS,
                verify=self._trusted,
                allow_redirects=False,
                stream=True,
            ) as answer,
        ):
            if answer.status_code != requests.codes.ok:
                self._envelope(answer.status_code, answer.content)
            yield from answer.iter_lines(_CHUNK_BYTES, delimiter=b"\n")

    def find_app(self, text: str, kind: type[_T]) -> _T:
        """Return the application with this name or id as a ``kind``, or raise NotFound."""
        listed = self.call("GET", "/api/apps")
        apps = self.convert(listed, list[App])
        by_name = (place for place, app in enumerate(apps) if app.name == text)
        by_id = (place for place, app in enumerate(apps) if app.id == parse_id(text))
        for place in (*by_name, *by_id):
            return self.convert(listed[place], kind)
        raise NotFound(
            f"there is no application {text[:80]!r} that this token may see at {self.url}; "
            "`mist app list` lists them"
        )

    @contextmanager
    def stream(self, path: str, **parameters: object) -> Iterator[ClientConnection]:
        """Open a stream; raise RemoteError if it is refused, Unreachable if it may be retried."""
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        secure = self.url.startswith("https://")
        try:
            with self._explained():
                stream = _Connect(
                    f"ws{self.url.removeprefix('http')}{path}" + (f"?{query}" if query else ""),
                    ssl=ssl.create_default_context() if secure else None,
                    additional_headers={"Authorization": f"Bearer {self._token}"},
                    open_timeout=_SECONDS,
                    close_timeout=_CLOSE_SECONDS,
                    max_size=_MESSAGE_BYTES,
                ).connect()
        except InvalidStatus as refused:
            if "Location" in refused.response.headers:
                raise self._redirected(refused.response.headers["Location"]) from None
            self._envelope(refused.response.status_code, bytes(refused.response.body or b""))
            raise Unreachable(f"{self.url} does not answer as Mist does") from None
        with stream:
            yield stream

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise the library's error about a connection as RemoteError."""
        try:
            yield
        except InvalidStatus:
            raise  # an answer, although not an upgrade
        except (ssl.SSLError, requests.exceptions.SSLError) as error:
            raise self._untrusted(error) from None
        except _NO_CONNECTION as error:
            raise self._unreachable(error) from None

    def _envelope(self, status: int, body: bytes) -> Envelope:
        """Return a successful answer, or raise RemoteError."""
        try:
            envelope = msgspec.json.decode(body, type=Envelope)
        except UNREADABLE:
            # A proxy's, some of which have codes of their own for a service that is away.
            kind = Unreachable if status in {408, 425, 429} or status >= 500 else RemoteError
            raise kind(
                f"{self.url} does not answer as Mist does (HTTP status {status}); check the "
                "address, and the proxy in front of Mist"
            ) from None
        if envelope.success and status < 400:
            return envelope
        if status == 429:
            raise Busy(f"{self.url}: {envelope.message}")
        if status in {502, 503, 504}:
            raise Unreachable(f"{self.url}: {envelope.message}")
        text = f"{self.url}: {envelope.message}"
        if status == 405 or envelope.message.startswith("There is nothing at"):
            raise RemoteError(f"{text}; {_VERSIONS}", Exit.USAGE)
        if status == 404:
            raise Missing(text, Exit.USAGE)
        raise RemoteError(text, _STATUSES.get(status, Exit.FAILURE))

    def _redirected(self, location: str) -> RemoteError:
        return RemoteError(f"{self.url} redirects to {location[:200]}; use that address")

    def _unreachable(self, error: Exception) -> Unreachable:
        used = {"https", "wss"} if self.url.startswith("https:") else {"http", "https", "ws"}
        used |= {"all", "socks"}
        proxies = [f"{kind}_proxy" for kind in get_environ_proxies(self.url) if kind in used]
        through = f" through the proxy of {' or '.join(sorted(proxies))}" if proxies else ""
        return Unreachable(f"{self.url} cannot be reached{through}: {_reason(error)}")

    def _untrusted(self, error: Exception) -> RemoteError:
        if not isinstance(_innermost(error), ssl.SSLCertVerificationError):
            return self._unreachable(error)
        return RemoteError(
            f"{self.url} has no certificate that can be trusted: {_reason(error)}; for a private "
            "CA, set SSL_CERT_FILE to the file with its certificate"
        )


class App(msgspec.Struct, frozen=True):
    """What a command needs to know of an application."""

    id: int
    name: str
    container: str


class Envelope(msgspec.Struct):
    """The body of every answer of the API."""

    success: bool
    message: str
    data: Any = None


def _innermost(error: BaseException) -> BaseException:
    """Return the first error: the libraries wrap it in their own words."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _reason(error: BaseException) -> str:
    error = _innermost(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return f"it does not answer with TLS ({error.reason}); is it an http:// address?"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, (EOFError, ConnectionClosed)):
        return "the connection was closed before an answer came"
    # What requests raises itself, such as for a SOCKS proxy, is a ValueError with a good text.
    invalid = isinstance(error, ValueError) and not isinstance(error, requests.RequestException)
    if invalid or isinstance(error, InvalidProxy):
        return "the address is not valid"  # which is not shown, because it may have a password
    return str(error) or type(error).__name__
