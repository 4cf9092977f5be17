"""The reasons for which a deployment fails, in the words shown to its viewers."""

from __future__ import annotations

from pathlib import Path

from docker.errors import APIError

from mist.errors import MistError
from workers import engine


class DeploymentError(MistError):
    """The deployment cannot continue; the text becomes its ``error_message``."""


class Cancelled(DeploymentError):
    """A user cancelled the deployment."""

    def __init__(self, by: str) -> None:
        super().__init__(by)
        self.by = by

    def __str__(self) -> str:
        return f"Cancelled by {self.by}"


class Interrupted(DeploymentError):
    """The service stopped during the deployment, or the supervisor ended it for a ``reason``."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"Interrupted: {self.reason}" if self.reason else "Interrupted by a restart"


class TimedOut(DeploymentError):
    """A step took longer than its setting allows."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(what, seconds)
        self.what = what
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.what}: gave up after {self.seconds:g} seconds"


class GitFailed(DeploymentError):
    """Git failed; ``reason`` is its own message."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"Git clone failed: {self.reason}"


class RepositoryRefused(DeploymentError):
    """The repository or its address uses something that is not allowed."""


class DiskNearlyFull(DeploymentError):
    """The disk with the store has too little space left; sizes are in bytes."""

    def __init__(self, free: int, needed: int, reserve: int) -> None:
        super().__init__(free, needed, reserve)
        self.free = free
        self.needed = needed
        self.reserve = reserve

    def __str__(self) -> str:
        need = f"the repository needs {self.needed} more, and " if self.needed else ""
        return (
            f"The service's disk has {self.free} bytes left: {need}deployments leave "
            f"{self.reserve} bytes to the store (deployments.disk_reserve_bytes)"
        )


class BuildFailed(DeploymentError):
    """The engine could not build the image; ``code`` is the failed command's exit status."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason, code)
        self.reason = reason
        self.code = code

    def __str__(self) -> str:
        reason = self.reason if self.code is None else f"exit code {self.code}"
        return f"Docker build failed: {reason}"


class BuildBrokenOff(BuildFailed):
    """The engine ended the build, or went away, without saying that it failed."""


class DidNotStay(DeploymentError):
    """The new container exited or became unhealthy while it was watched."""


class UndoPending(DeploymentError):
    """The engine is away, so the deployment cannot be undone yet; ``reason`` made it fail."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NotRecorded(MistError):
    """The store cannot record the deployment's state; not one of the deployment's failures."""


class LogFailed(DeploymentError):
    """The deployment's log cannot be written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        # Without the path, because users read this who are not administrators.
        return f"The deployment's log cannot be written: {self.reason}"


def explain(error: APIError) -> str:
    """Return the engine's message for an error, or the HTTP status."""
    return engine.plain(str(error.explanation or error)) or f"HTTP status {error.status_code}"


def words(error: BaseException) -> str:
    """Return an error in words for the deployment's viewers."""
    if isinstance(error, APIError):
        return f"The Docker Engine refused: {explain(error)}"
    if isinstance(error, MistError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__
