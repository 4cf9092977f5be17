"""Live container logs, deployments and metrics of a Mist service, and its HTTP API.

:class:`Client` is for synchronous programs, and :class:`AsyncClient`, whose methods have the
same names, for asyncio.
"""

from __future__ import annotations

from mist_client.async_client import AsyncClient, AsyncOlderLines
from mist_client.async_streams import AsyncStream
from mist_client.client import Client, OlderLines
from mist_client.errors import ApiError, MistError, Reason, ReasonCode, StreamError, Unreachable
from mist_client.events import (
    ContainersEvent,
    ContainerStatus,
    Cpu,
    DeploymentEvent,
    DeploymentStatus,
    Docker,
    End,
    HostContainer,
    HostContainers,
    HostUsage,
    LogEvent,
    LogLine,
    MetricsEvent,
    MetricsSample,
    Reconnected,
    Reconnecting,
    Skipped,
    Space,
    Usage,
    UsageEvent,
    UsageSample,
)
from mist_client.older import OlderEnd
from mist_client.records import (
    Account,
    App,
    AppChanges,
    AuditRecord,
    BuildChanges,
    BuildLimits,
    Deployment,
    DeploymentState,
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
    Token,
)
from mist_client.retry import Retry
from mist_client.streams import Stream
from mist_client.version import __version__

__all__ = [
    "Account",
    "ApiError",
    "App",
    "AppChanges",
    "AsyncClient",
    "AsyncOlderLines",
    "AsyncStream",
    "AuditRecord",
    "BuildChanges",
    "BuildLimits",
    "Client",
    "ContainerStatus",
    "ContainersEvent",
    "Cpu",
    "Deployment",
    "DeploymentEvent",
    "DeploymentState",
    "DeploymentStatus",
    "Docker",
    "End",
    "Grant",
    "Hook",
    "HostContainer",
    "HostContainers",
    "HostUsage",
    "LogEvent",
    "LogLine",
    "Me",
    "MetricsEvent",
    "MetricsSample",
    "MistError",
    "NewAccount",
    "NewApp",
    "NewToken",
    "OlderEnd",
    "OlderLines",
    "OlderRange",
    "Readiness",
    "Reason",
    "ReasonCode",
    "Reconnected",
    "Reconnecting",
    "Retry",
    "Right",
    "Role",
    "Skipped",
    "Space",
    "Stream",
    "StreamError",
    "Token",
    "Unreachable",
    "Usage",
    "UsageEvent",
    "UsageSample",
    "__version__",
]
