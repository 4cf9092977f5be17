"""The store: users, projects, applications, grants, deployments, sessions, tokens.

The web tier, the supervisor, the workers and the command line share only this and the
bus.
"""

from mist.store.apps import Apps
from mist.store.deployments import Deployments
from mist.store.projects import Projects
from mist.store.records import (
    FINISHED,
    NO_LIMITS,
    AccessToken,
    App,
    AppFields,
    AuditRecord,
    BuildLimits,
    ContainerOptions,
    Deployment,
    DeploymentChanges,
    DeploymentState,
    EditedFields,
    Grant,
    Limits,
    Project,
    Right,
    Role,
    User,
    Viewer,
    covers,
)
from mist.store.sessions import Sessions
from mist.store.store import Store, open_store
from mist.store.tokens import Tokens
from mist.store.users import Users

__all__ = [
    "FINISHED",
    "NO_LIMITS",
    "AccessToken",
    "App",
    "AppFields",
    "Apps",
    "AuditRecord",
    "BuildLimits",
    "ContainerOptions",
    "Deployment",
    "DeploymentChanges",
    "DeploymentState",
    "Deployments",
    "EditedFields",
    "Grant",
    "Limits",
    "Project",
    "Projects",
    "Right",
    "Role",
    "Sessions",
    "Store",
    "Tokens",
    "User",
    "Users",
    "Viewer",
    "covers",
    "open_store",
]
