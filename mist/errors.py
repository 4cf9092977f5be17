"""All exceptions that cross module boundaries, and the exit statuses.

Exceptions carry fields and build their text in ``__str__``.  Each describes a user's
mistake or the state of the machine and says what to do.  The command prints the text
without a traceback and exits with ``exit_status``, whose numbers are those of BSD's
``sysexits.h``; systemd shows them by name.  Only that of an interrupt is the shells'.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit status of a process, which tells its parent why it ended."""

    OK = 0
    FAILURE = 1
    USAGE = 64
    UNAVAILABLE = 69
    SOFTWARE = 70
    CANNOT_CREATE = 73  # a directory, a socket or the store
    TEMPORARY = 75  # systemd restarts the service; 64, 70, 73, 77 and 78 are final
    NO_PERMISSION = 77
    BAD_CONFIG = 78
    INTERRUPTED = 130  # what shells report for a process killed by SIGINT


class MistError(Exception):
    """Base class of all errors of this project."""

    exit_status: Exit = Exit.FAILURE


class UsageError(MistError):
    """The request is invalid; the text says what would be valid."""

    exit_status = Exit.USAGE


class Conflict(UsageError):
    """The request conflicts with the current state."""


class AlreadyExists(Conflict):
    """A unique name is already taken."""


class NotFound(UsageError):
    """The requested object does not exist."""


class SettingsError(MistError):
    """The settings are invalid: an unknown key, a wrong type, or a value out of bounds."""

    exit_status = Exit.BAD_CONFIG

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source = source
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}"


class UnsafePath(MistError):
    """A directory or file of the service that other users could change."""

    exit_status = Exit.NO_PERMISSION

    def __init__(self, variable: str, path: object, problem: str) -> None:
        super().__init__(variable, path, problem)
        self.variable = variable
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path} ({self.variable}) is not safe to use: {self.problem}"


class BrokenInstallation(MistError):
    """A module of the program or of a library cannot be imported; retrying does not help."""

    exit_status = Exit.SOFTWARE

    def __init__(self, part: str, problem: str) -> None:
        super().__init__(part, problem)
        self.part = part
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"{self.part} cannot be loaded: {self.problem}; the installation is incomplete "
            "or damaged, reinstall Mist"
        )


class EngineError(MistError):
    """The Docker Engine failed to do what it was asked."""

    exit_status = Exit.UNAVAILABLE


class EngineUnreachable(EngineError):
    """The engine's socket does not answer, or not in time."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, reason)
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return f"Docker Engine is unreachable at {self.host}: {self.reason}"


class ContainerNotFound(EngineError):
    """The engine has no container with this name or id."""

    def __init__(self, container: str) -> None:
        super().__init__(container)
        self.container = container

    def __str__(self) -> str:
        return f"no such container: {self.container}"


class LogNotReadable(EngineError):
    """The container's log driver does not let the engine read the log."""

    def __init__(self, driver: str) -> None:
        super().__init__(driver)
        self.driver = driver

    def __str__(self) -> str:
        return (
            f"The container's log driver does not support reading: it is {self.driver!r}, and "
            "the Docker Engine can read json-file, local and journald. Create the container "
            "again with one of these, such as `docker run --log-driver local …`"
        )


class StoreError(MistError):
    """The store cannot be read or written: a full disk, a lock, or a wrong URL."""

    exit_status = Exit.UNAVAILABLE


class BusError(MistError):
    """The broker cannot be reached, or sent an unintelligible message."""

    exit_status = Exit.UNAVAILABLE


class WireError(BusError):
    """A bus message violates the format; the receiver drops it."""


class StoreFull(StoreError):
    """The disk that holds the store is full; the request was not carried out."""


class NotLoggedIn(MistError):
    """There is no session, or it has expired, was revoked, or predates the password."""

    exit_status = Exit.NO_PERMISSION


class LoginRefused(MistError):
    """The account or the password is wrong; the text does not say which."""

    exit_status = Exit.NO_PERMISSION

    def __str__(self) -> str:
        return "Wrong email address or password"


class TooManyAttempts(LoginRefused):
    """Too many log-ins failed; the next is not checked for ``retry_after`` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"Too many failed log-ins, try again in {self.retry_after} s"


class AlreadyRunning(MistError):
    """Another ``mist up`` uses the same state."""

    exit_status = Exit.TEMPORARY

    def __init__(self, pid: int | None, home: str) -> None:
        super().__init__(pid, home)
        self.pid = pid
        self.home = home

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid else "another process"
        return (
            f"mist is already running on {self.home} ({who}). Stop it first, "
            "or set MIST_HOME and MIST_RUNTIME to run a second one."
        )
