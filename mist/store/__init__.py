"""The store: users, projects, applications, grants, deployments and sessions.

The web tier, the supervisor, the workers and the command line share only this and the
bus.
"""

from mist.store.apps import Apps
from mist.store.deployments import Deployments
from mist.store.projects import Projects
from mist.store.records import (
    FINISHED,
    App,
    AppFields,
    BuildLimits,
    ContainerOptions,
    Deployment,
    DeploymentChanges,
    DeploymentState,
    EditedFields,
    Project,
    Role,
    User,
    Viewer,
)
from mist.store.sessions import Sessions
from mist.store.store import Store, open_store
from mist.store.users import Users

__all__ = [
    "FINISHED",
    "App",
    "AppFields",
    "Apps",
    "BuildLimits",
    "ContainerOptions",
    "Deployment",
    "DeploymentChanges",
    "DeploymentState",
    "Deployments",
    "EditedFields",
    "Project",
    "Projects",
    "Role",
    "Sessions",
    "Store",
    "User",
    "Users",
    "Viewer",
    "open_store",
]
