"""The client of a program on asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx2

from mist_client import older, routes
from mist_client.address import CA, Service, service, target, warn_if_unencrypted
from mist_client.answers import check, unreachable, valid_addresses
from mist_client.async_streams import AsyncStream
from mist_client.deployments import DeploymentLog
from mist_client.events import (
    ContainersEvent,
    DeploymentEvent,
    HostContainer,
    LogEvent,
    LogLine,
    MetricsEvent,
    UsageEvent,
)
from mist_client.logs import ContainerLog
from mist_client.older import OlderEnd, OlderRecords, OlderRequest
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
    OlderRange,
    Readiness,
    Right,
    Role,
    ServiceStatus,
    Token,
)
from mist_client.retry import Retry
from mist_client.routes import Route, named
from mist_client.samples import Containers, ContainerUsage, Metrics
from mist_client.source import E, Source

T = TypeVar("T")


class AsyncClient:
    """A service: verbs send a request and return its answer, and nouns are streams.

    ``url`` is the service's address, and ``token`` one of ``mist token add``; without a token,
    :meth:`login` starts a session.  ``ca`` is the file of a private CA, or an SSL context.
    ``timeout`` is for an answer or a handshake, in seconds.  ``retry`` is how streams reconnect.

    Requests raise ApiError for an error that the service answers with, and Unreachable if it
    does not answer.  Close the client at the end, or use it in an ``async with`` block.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ca: CA = None,
        timeout: float = 20.0,
        retry: Retry | None = None,
    ) -> None:
        self._service = service(url, token, ca, timeout, retry)
        if token is not None:
            warn_if_unencrypted(self.url, "token")
        with valid_addresses():
            self._http = httpx2.AsyncClient(
                base_url=self._service.url,
                headers=self._service.headers,
                verify=self._service.tls,
                timeout=timeout,
            )

    @property
    def url(self) -> str:
        """The address of the service, without a slash at its end."""
        return self._service.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections of requests.  Streams have their own."""
        await self._http.aclose()

    # ------------------------------------------------------------------ session

    async def login(self, email: str, password: str) -> Me:
        """Start a session; the client keeps its cookie."""
        warn_if_unencrypted(self.url, "password")
        return await self._call(routes.LOGIN, {"email": email, "password": password})

    async def logout(self) -> None:
        """End the session."""
        await self._call(routes.LOGOUT)

    async def get_me(self) -> Me:
        """Return the signed-in user, or the user of the token."""
        return await self._call(routes.ME)

    async def change_password(self, old_password: str, new_password: str) -> Me:
        """Change the user's own password; every other session of the user ends."""
        body = {"old_password": old_password, "new_password": new_password}
        return await self._call(routes.PASSWORD, body)

    # ----------------------------------------------------------------- accounts

    async def list_users(self) -> list[Account]:
        """Return all accounts."""
        return await self._call(routes.USERS)

    async def add_user(
        self, email: str, *, role: Role = "user", password: str | None = None
    ) -> NewAccount:
        """Add an account; without a password, the answer has a one-time password."""
        return await self._call(
            routes.ADD_USER, {"email": email, "role": role, "password": password}
        )

    async def change_user(
        self, user_id: int, *, role: Role | None = None, password: str | None = None
    ) -> Account:
        """Change the role or the password of an account."""
        body = {"role": role, "password": password}
        return await self._call(routes.CHANGE_USER, body, user_id=user_id)

    async def remove_user(self, user_id: int) -> None:
        """Remove an account with its grants, tokens and sessions."""
        await self._call(routes.REMOVE_USER, user_id=user_id)

    async def list_tokens(self) -> list[Token]:
        """Return the user's tokens, or, for an admin, all."""
        return await self._call(routes.TOKENS)

    async def add_token(
        self,
        name: str,
        *,
        apps: list[int | str] | None = None,
        right: Right | None = None,
        expires: str | None = None,
        user: str | None = None,
    ) -> NewToken:
        """Make a token; ``expires`` is a duration such as ``90d``; ``apps`` are ids or names."""
        body = {"name": name, "apps": apps, "right": right, "expires": expires, "user": user}
        return await self._call(routes.ADD_TOKEN, body)

    async def revoke_token(self, token_id: int) -> None:
        """Revoke a token; its streams end."""
        await self._call(routes.REVOKE_TOKEN, token_id=token_id)

    # ------------------------------------------------------------- applications

    async def list_apps(self) -> list[App]:
        """Return the applications that the user may see."""
        return await self._call(routes.APPS)

    async def get_app(self, app_id: int) -> App:
        """Return an application."""
        return await self._call(routes.APP, app_id=app_id)

    async def add_app(self, **app: Unpack[NewApp]) -> App:
        """Add an application: ``add_app(name="web", git_url="https://…")``."""
        return await self._call(routes.ADD_APP, app)

    async def change_app(self, app_id: int, **changes: Unpack[AppChanges]) -> App:
        """Change an application; what is not named stays, and None stands for the default."""
        return await self._call(routes.CHANGE_APP, changes, app_id=app_id)

    async def remove_app(self, app_id: int) -> App | None:
        """Request the removal of an application and its container; volumes are kept."""
        return await self._call(routes.REMOVE_APP, app_id=app_id)

    async def make_hook(self, app_id: int) -> Hook:
        """Make a new secret for the webhook of an application; a former one becomes invalid."""
        return await self._call(routes.MAKE_HOOK, app_id=app_id)

    async def remove_hook(self, app_id: int) -> None:
        """Turn the webhook of an application off."""
        await self._call(routes.REMOVE_HOOK, app_id=app_id)

    async def get_adoption(self, app_id: int) -> Adoptable:
        """Return the container that the application may adopt."""
        return await self._call(routes.ADOPTION, app_id=app_id)

    async def adopt(self, app_id: int, container_id: str) -> None:
        """Let the next deployment replace the container that :meth:`get_adoption` returned."""
        await self._call(routes.ADOPT, {"container_id": container_id}, app_id=app_id)

    async def list_grants(self, app_id: int) -> list[Grant]:
        """Return the grants for an application."""
        return await self._call(routes.GRANTS, app_id=app_id)

    async def get_grant(self, app_id: int, user: int | str) -> Grant:
        """Return the grant of a user, by id or email address.

        An address with a slash cannot be part of a path and raises ValueError; give the id.
        """
        return await self._call(routes.GRANT, app_id=app_id, user=named(user))

    async def grant(self, app_id: int, user: int | str, right: Right = "deployer") -> Grant:
        """Give a user a right to an application, in place of an earlier one.

        ``user`` is as in :meth:`get_grant`.
        """
        return await self._call(routes.PUT_GRANT, {"right": right}, app_id=app_id, user=named(user))

    async def withdraw_grant(self, app_id: int, user: int | str) -> None:
        """Withdraw a user's right to an application; ``user`` is as in :meth:`get_grant`."""
        await self._call(routes.REMOVE_GRANT, app_id=app_id, user=named(user))

    # -------------------------------------------------------------- deployments

    async def list_deployments(self, app_id: int, *, limit: int | None = None) -> list[Deployment]:
        """Return the newest deployments, the newest first: 50 of them, or up to 500."""
        return await self._call(routes.DEPLOYMENTS, query={"limit": limit}, app_id=app_id)

    async def get_deployment(self, deployment_id: int) -> Deployment:
        """Return a deployment as it is now."""
        return await self._call(routes.DEPLOYMENT, deployment_id=deployment_id)

    async def deploy(self, app_id: int) -> Deployment:
        """Start a deployment without waiting for it; see :meth:`deployment`."""
        return await self._call(routes.DEPLOY, {}, app_id=app_id)

    async def roll_back(self, app_id: int, deployment_id: int) -> Deployment:
        """Start the image of an earlier deployment of the application again."""
        return await self._call(routes.DEPLOY, {"rollback_to": deployment_id}, app_id=app_id)

    async def cancel(self, deployment_id: int) -> Deployment:
        """Request cancellation without waiting for it; the deployment then ends as failed."""
        return await self._call(routes.CANCEL, deployment_id=deployment_id)

    # ------------------------------------------------------------------ service

    async def list_containers(self) -> list[HostContainer]:
        """Return all containers of the host."""
        return await self._call(routes.CONTAINERS)

    async def list_audit(
        self, *, limit: int | None = None, before: int | None = None
    ) -> list[AuditRecord]:
        """Return who changed what, the newest first; ``before`` is the id of an older record."""
        return await self._call(routes.AUDIT, query={"limit": limit, "before": before})

    async def get_status(self) -> ServiceStatus:
        """Return the supervisor's table of processes."""
        return await self._call(routes.STATUS)

    async def check_health(self) -> None:
        """Return if the web tier is alive."""
        await self._call(routes.HEALTH)

    async def check_readiness(self) -> Readiness:
        """Return if the service can work; raise ApiError with status 503 and the reason if not."""
        return await self._call(routes.READINESS)

    async def read_figures(self) -> str:
        """Return the service's own figures in the text format of Prometheus."""
        return routes.FIGURES.read_text(await self._send(routes.FIGURES))

    async def read_openapi(self) -> dict[str, Any]:
        """Return the description of the HTTP API."""
        return routes.OPENAPI.read_object(await self._send(routes.OPENAPI))

    # ------------------------------------------------------------------ streams

    def logs(
        self,
        app_id: int,
        *,
        tail: int | None = None,
        since: str | None = None,
        stopped: bool = False,
    ) -> AsyncStream[LogEvent]:
        """Follow the log of an application's container.

        It begins with the last ``tail`` lines (100 without it), or after ``since``: the ``pos``
        of a line, or a time.  ``stopped`` also shows the tail of a container that does not run.
        """
        source = ContainerLog(target(app_id, None), tail=tail, since=since, stopped=stopped)
        return self._stream(source)

    def container_logs(
        self,
        container: str,
        *,
        tail: int | None = None,
        since: str | None = None,
        stopped: bool = False,
    ) -> AsyncStream[LogEvent]:
        """Follow the log of any container of the host, for admins; otherwise like :meth:`logs`."""
        source = ContainerLog(target(None, container), tail=tail, since=since, stopped=stopped)
        return self._stream(source)

    def deployment(self, deployment_id: int) -> AsyncStream[DeploymentEvent]:
        """Follow a deployment from the beginning of its log to its end."""
        return self._stream(DeploymentLog(deployment_id))

    def metrics(self, *, history: int | None = None) -> AsyncStream[MetricsEvent]:
        """Follow the host's metrics; ``history`` is how many earlier samples come first."""
        return self._stream(Metrics(history))

    def containers(self) -> AsyncStream[ContainersEvent]:
        """Follow the list of the host's containers and what they use, for admins."""
        return self._stream(Containers())

    def container_stats(
        self,
        app_id: int | None = None,
        *,
        container: str | None = None,
        history: int | None = None,
    ) -> AsyncStream[UsageEvent]:
        """Follow what the container of an application, or any container, uses."""
        return self._stream(ContainerUsage(target(app_id, container), history))

    def older_lines(
        self,
        app_id: int | None = None,
        *,
        container: str | None = None,
        **chosen: Unpack[OlderRange],
    ) -> AsyncOlderLines:
        """Read a range of a log, as far back as the engine has it."""
        return AsyncOlderLines(self._http, OlderRequest(app_id, container, chosen), self._service)

    # ------------------------------------------------------------------- within

    def _stream(self, source: Source[E]) -> AsyncStream[E]:
        return AsyncStream(source, self._service, self._headers)

    def _headers(self) -> Mapping[str, str]:
        """Return what identifies this client: the token, or the cookie of the session."""
        sent = self._http.build_request("GET", "/").headers
        return {name: sent[name] for name in ("Authorization", "Cookie") if name in sent}

    async def _call(
        self,
        route: Route[T],
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        **path: int | str,
    ) -> T:
        return route.read(await self._send(route, body, query, **path))

    async def _send(
        self,
        route: Route[T],
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        **path: int | str,
    ) -> bytes:
        params = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = await self._http.request(
                route.method, route.fill(path), json=body, params=params
            )
        except httpx2.HTTPError as error:
            raise unreachable(error) from error
        check(answer)
        return answer.content


class AsyncOlderLines:
    """The lines of a range as they arrive; each iteration asks for them again.

    Leaving the iteration ends the reading.  The service reads the log only as fast as the
    lines are taken.
    """

    def __init__(self, http: httpx2.AsyncClient, request: OlderRequest, service: Service) -> None:
        self.end: OlderEnd | None = None
        """The extent of the read; None before the iteration has ended."""
        self._http = http
        self._request = request
        self._timeout = httpx2.Timeout(service.timeout, read=older.READ_SECONDS)

    async def __aiter__(self) -> AsyncIterator[LogLine]:
        self.end = None
        records, request = OlderRecords(), self._request
        try:
            async with self._http.stream(
                "GET", request.path, params=request.query, timeout=self._timeout
            ) as answer:
                if not answer.is_success:
                    await answer.aread()
                    check(answer)
                async for data in answer.aiter_bytes():
                    for line in records.feed(data):
                        yield line
        except httpx2.HTTPError as error:
            raise unreachable(error) from error
        self.end = records.finish()
