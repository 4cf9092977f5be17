"""The operations of the HTTP API: what each takes, what it answers, and who may ask.

A test compares this table with the routes, and another one sends requests that are made
from it to a running service.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec import Meta

from api.http.adoption import AdoptionBody
from api.http.auth import LoginBody, PasswordBody
from api.http.deployments import NewDeploymentBody
from api.http.grants import GrantBody
from api.http.openapi.shapes import (
    Account,
    Application,
    Hook,
    Me,
    NewAccount,
    NewToken,
    Pushed,
    Readiness,
    Token,
)
from api.http.tokens import NewTokenBody
from api.http.users import NewUserBody, UserChangesBody
from mist.adoptable import Adoptable
from mist.apps.management import AppChanges, NewApp
from mist.ids import MAX_ID
from mist.messages import HostContainer
from mist.status import ServiceStatus
from mist.store import AuditRecord, Deployment, Grant

Who = Literal["anybody", "user", "viewer", "deployer", "admin", "sender"]

Id = Annotated[int, Meta(ge=1, le=MAX_ID)]


class Parameter(NamedTuple):
    """A parameter of the query string."""

    name: str
    type: Any
    meaning: str


class Operation(NamedTuple):
    """A method of a route.

    ``data`` is the type of the envelope's ``data``; None for the JSON value null.  ``media``
    replaces the envelope by other content types.
    """

    method: str
    path: str
    summary: str
    who: Who
    data: Any = None
    status: int = 200
    body: Any = None
    query: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    also: tuple[int, ...] = ()
    """Other statuses of success, with the same data."""
    media: tuple[str, ...] = ()


def _switch(name: str, meaning: str) -> Parameter:
    return Parameter(name, Literal["0", "1"], meaning)


_LOG: Final = (
    Parameter("since", str, "The beginning: RFC 3339, or a duration before now (`2h`)."),
    Parameter("until", str, "The end, which is not in the range."),
    Parameter("tail", Annotated[int, Meta(ge=0)], "The last lines of the range only."),
    Parameter("q", str, "Only lines that contain this."),
    _switch("regex", "`q` is a regular expression (RE2)."),
    _switch("case", "Upper and lower case differ."),
    _switch("invert", "Only lines that do not match."),
    Parameter("stream", Literal["stdout", "stderr"], "Only that stream."),
    Parameter("order", Literal["asc", "desc"], "`desc` begins with the newest line."),
    Parameter("limit", Annotated[int, Meta(ge=1)], "Stop after so many lines that match."),
    Parameter("format", Literal["ndjson", "text"], "Messages, or plain lines."),
    _switch("timestamps", "The engine's time before each plain line."),
    _switch("status", "Also `status` messages where the container started or ended."),
    _switch("seam", "The range is one piece of the log, also where two containers ran at once."),
    _switch("download", "With a file name."),
)
_LINES: Final = ("application/x-ndjson", "text/plain")
_LOG_ERRORS: Final = (400, 404, 409, 429)


def _limit(most: int, default: int) -> Parameter:
    kind = Annotated[int, Meta(ge=1, le=most)]
    return Parameter("limit", kind, f"How many at most; {default} without it.")


OPERATIONS: Final = (
    Operation(
        "POST",
        "/api/auth/login",
        "Start a session",
        "anybody",
        Me,
        body=LoginBody,
        errors=(400, 401, 403, 429),
    ),
    Operation("POST", "/api/auth/logout", "End the session", "anybody", errors=(403,)),
    Operation("GET", "/api/auth/me", "Show the signed-in user", "user", Me),
    Operation(
        "POST",
        "/api/auth/password",
        "Change your own password",
        "user",
        Me,
        body=PasswordBody,
        errors=(400, 429),
    ),
    Operation("GET", "/api/users", "List the accounts", "admin", list[Account]),
    Operation(
        "POST",
        "/api/users",
        "Add an account",
        "admin",
        NewAccount,
        201,
        NewUserBody,
        errors=(400, 409),
    ),
    Operation(
        "PATCH",
        "/api/users/{user_id}",
        "Change the role or the password of an account",
        "admin",
        Account,
        body=UserChangesBody,
        errors=(400, 404, 409),
    ),
    Operation("DELETE", "/api/users/{user_id}", "Remove an account", "admin", errors=(404, 409)),
    Operation("GET", "/api/tokens", "List your tokens; for admins, all", "user", list[Token]),
    Operation(
        "POST",
        "/api/tokens",
        "Make a token for a program",
        "user",
        NewToken,
        201,
        NewTokenBody,
        errors=(400, 404, 409),
    ),
    Operation("DELETE", "/api/tokens/{token_id}", "Revoke a token", "user", errors=(404,)),
    Operation(
        "GET", "/api/apps", "List the applications that you may see", "user", list[Application]
    ),
    Operation(
        "POST",
        "/api/apps",
        "Add an application",
        "admin",
        Application,
        201,
        NewApp,
        errors=(400, 404, 409),
    ),
    Operation(
        "GET", "/api/apps/{app_id}", "Show an application", "viewer", Application, errors=(404,)
    ),
    Operation(
        "PATCH",
        "/api/apps/{app_id}",
        "Change an application (JSON merge patch)",
        "admin",
        Application,
        body=AppChanges,
        errors=(400, 404, 409),
    ),
    Operation(
        "DELETE",
        "/api/apps/{app_id}",
        "Remove an application and its container; volumes are kept",
        "admin",
        Application | None,
        202,
        errors=(404,),
    ),
    Operation(
        "GET",
        "/api/apps/{app_id}/adoption",
        "Describe the container that an application may adopt",
        "admin",
        Adoptable,
        errors=(404, 409, 429),
    ),
    Operation(
        "POST",
        "/api/apps/{app_id}/adoption",
        "Let the next deployment replace a container that no deployment created",
        "admin",
        body=AdoptionBody,
        errors=(404, 409, 429),
    ),
    Operation(
        "POST",
        "/api/apps/{app_id}/hook",
        "Make a new secret for the webhook",
        "admin",
        Hook,
        errors=(404, 409),
    ),
    Operation("DELETE", "/api/apps/{app_id}/hook", "Turn the webhook off", "admin", errors=(404,)),
    Operation(
        "POST",
        "/api/hooks/{app_id}",
        "Deploy after a push (GitHub, GitLab, Gitea, Forgejo)",
        "sender",
        Pushed | None,
        201,
        dict[str, Any],
        errors=(400, 409, 429),
        also=(200, 202),
    ),
    Operation(
        "GET",
        "/api/apps/{app_id}/grants",
        "List who may see an application",
        "admin",
        list[Grant],
        errors=(404,),
    ),
    Operation(
        "GET",
        "/api/apps/{app_id}/grants/{user}",
        "Show a user's right to an application",
        "admin",
        Grant,
        errors=(404,),
    ),
    Operation(
        "PUT",
        "/api/apps/{app_id}/grants/{user}",
        "Give a user a right to an application",
        "admin",
        Grant,
        body=GrantBody,
        errors=(400, 404, 409),
    ),
    Operation(
        "DELETE",
        "/api/apps/{app_id}/grants/{user}",
        "Withdraw a user's right to an application",
        "admin",
        errors=(404,),
    ),
    Operation(
        "GET",
        "/api/apps/{app_id}/deployments",
        "List the newest deployments",
        "viewer",
        list[Deployment],
        query=(_limit(500, 50),),
        errors=(400, 404),
    ),
    Operation(
        "POST",
        "/api/apps/{app_id}/deployments",
        "Deploy, or roll back",
        "deployer",
        Deployment,
        201,
        NewDeploymentBody,
        errors=(400, 404, 409),
    ),
    Operation(
        "GET",
        "/api/deployments/{deployment_id}",
        "Show a deployment",
        "viewer",
        Deployment,
        errors=(404,),
    ),
    Operation(
        "POST",
        "/api/deployments/{deployment_id}/cancel",
        "Cancel a deployment",
        "deployer",
        Deployment,
        202,
        errors=(404, 409),
    ),
    Operation(
        "GET",
        "/api/apps/{app_id}/logs",
        "Read older lines of an application's log",
        "viewer",
        query=_LOG,
        errors=_LOG_ERRORS,
        media=_LINES,
    ),
    Operation(
        "GET",
        "/api/containers",
        "List the containers of the host",
        "admin",
        list[HostContainer],
    ),
    Operation(
        "GET",
        "/api/containers/{name}/logs",
        "Read older lines of any container's log",
        "admin",
        query=_LOG,
        errors=_LOG_ERRORS,
        media=_LINES,
    ),
    Operation("GET", "/api/status", "Show the processes of the service", "admin", ServiceStatus),
    Operation(
        "GET",
        "/api/audit",
        "List who changed what",
        "admin",
        list[AuditRecord],
        query=(_limit(1_000, 100), Parameter("before", Id, "Only older records than this one.")),
        errors=(400,),
    ),
    Operation("GET", "/healthz", "Tell that the process is alive", "anybody"),
    Operation("GET", "/readyz", "Tell whether the service can work", "anybody", Readiness),
    Operation("GET", "/metrics", "Show figures for Prometheus", "anybody", media=("text/plain",)),
    Operation(
        "GET", "/api/openapi.json", "Describe this API", "anybody", media=("application/json",)
    ),
)
