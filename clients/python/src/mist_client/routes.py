"""The routes of the HTTP API.  A test compares this table with the service's description."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

from mist_client.errors import MistError
from mist_client.events import HostContainer
from mist_client.records import (
    Account,
    Adoptable,
    App,
    AppChanges,
    AuditRecord,
    Deployment,
    Grant,
    Hook,
    Me,
    NewAccount,
    NewApp,
    NewToken,
    Readiness,
    ServiceStatus,
    Token,
)

T = TypeVar("T")


class _Envelope(msgspec.Struct, Generic[T]):
    data: T


class Route(Generic[T]):
    """A method and a path; ``data`` is the type of an answer, and ``body`` that of a request.

    ``body`` is set only where it has a type of its own.
    """

    def __init__(self, method: str, path: str, data: Any = None, body: Any = None) -> None:
        self.method = method
        self.path = path
        self.data = data
        self.body = body
        self._decoder: Any = msgspec.json.Decoder(_Envelope[data])

    def fill(self, values: dict[str, int | str]) -> str:
        """Return the path with the values of its parameters."""
        return self.path.format_map(
            {name: quote(str(value), safe="") for name, value in values.items()}
        )

    def read(self, body: bytes) -> T:
        """Return the data of a successful answer."""
        with self._explained():
            found: T = self._decoder.decode(body).data
        return found

    def read_text(self, body: bytes) -> str:
        """Return an answer that is text."""
        with self._explained():
            return body.decode()

    def read_object(self, body: bytes) -> dict[str, Any]:
        """Return an answer that is an object without an envelope."""
        with self._explained():
            return msgspec.json.decode(body, type=dict[str, Any])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise MistError(
                f"The answer to {self.method} {self.path} is not what this version of mist-client "
                f"expects: {error}"
            ) from None


def named(user: int | str) -> int | str:
    """Return a user's id or email address as part of a path; raise ValueError for a slash.

    Servers decode ``%2F`` before they divide a path.
    """
    if "/" in str(user):
        raise ValueError(f"{user!r} has a slash, which a path cannot have; give the user's id")
    return user


LOGIN: Final = Route[Me]("POST", "/api/auth/login", Me)
LOGOUT: Final = Route[None]("POST", "/api/auth/logout")
ME: Final = Route[Me]("GET", "/api/auth/me", Me)
PASSWORD: Final = Route[Me]("POST", "/api/auth/password", Me)

USERS: Final = Route[list[Account]]("GET", "/api/users", list[Account])
ADD_USER: Final = Route[NewAccount]("POST", "/api/users", NewAccount)
CHANGE_USER: Final = Route[Account]("PATCH", "/api/users/{user_id}", Account)
REMOVE_USER: Final = Route[None]("DELETE", "/api/users/{user_id}")

TOKENS: Final = Route[list[Token]]("GET", "/api/tokens", list[Token])
ADD_TOKEN: Final = Route[NewToken]("POST", "/api/tokens", NewToken)
REVOKE_TOKEN: Final = Route[None]("DELETE", "/api/tokens/{token_id}")

APPS: Final = Route[list[App]]("GET", "/api/apps", list[App])
ADD_APP: Final = Route[App]("POST", "/api/apps", App, NewApp)
APP: Final = Route[App]("GET", "/api/apps/{app_id}", App)
CHANGE_APP: Final = Route[App]("PATCH", "/api/apps/{app_id}", App, AppChanges)
REMOVE_APP: Final = Route["App | None"]("DELETE", "/api/apps/{app_id}", App | None)
MAKE_HOOK: Final = Route[Hook]("POST", "/api/apps/{app_id}/hook", Hook)
REMOVE_HOOK: Final = Route[None]("DELETE", "/api/apps/{app_id}/hook")

ADOPTION: Final = Route[Adoptable]("GET", "/api/apps/{app_id}/adoption", Adoptable)
ADOPT: Final = Route[None]("POST", "/api/apps/{app_id}/adoption")

GRANTS: Final = Route[list[Grant]]("GET", "/api/apps/{app_id}/grants", list[Grant])
GRANT: Final = Route[Grant]("GET", "/api/apps/{app_id}/grants/{user}", Grant)
PUT_GRANT: Final = Route[Grant]("PUT", "/api/apps/{app_id}/grants/{user}", Grant)
REMOVE_GRANT: Final = Route[None]("DELETE", "/api/apps/{app_id}/grants/{user}")

DEPLOYMENTS: Final = Route[list[Deployment]](
    "GET", "/api/apps/{app_id}/deployments", list[Deployment]
)
DEPLOY: Final = Route[Deployment]("POST", "/api/apps/{app_id}/deployments", Deployment)
DEPLOYMENT: Final = Route[Deployment]("GET", "/api/deployments/{deployment_id}", Deployment)
CANCEL: Final = Route[Deployment]("POST", "/api/deployments/{deployment_id}/cancel", Deployment)

CONTAINERS: Final = Route[list[HostContainer]]("GET", "/api/containers", list[HostContainer])
AUDIT: Final = Route[list[AuditRecord]]("GET", "/api/audit", list[AuditRecord])
STATUS: Final = Route[ServiceStatus]("GET", "/api/status", ServiceStatus)
HEALTH: Final = Route[None]("GET", "/healthz")
READINESS: Final = Route[Readiness]("GET", "/readyz", Readiness)

# These answer without an envelope.
APP_LOG: Final = Route[Any]("GET", "/api/apps/{app_id}/logs", Any)
CONTAINER_LOG: Final = Route[Any]("GET", "/api/containers/{name}/logs", Any)
FIGURES: Final = Route[Any]("GET", "/metrics", Any)
OPENAPI: Final = Route[Any]("GET", "/api/openapi.json", Any)
