"""Every exception that crosses a module's border, and the exit statuses.

Exceptions carry fields and make their text in ``__str__``.  Each of them is
somebody's mistake or the machine's state, said in words that tell what to do:
the command prints the text without a traceback and exits with ``exit_status``
(the numbers are those of BSD's ``sysexits.h``, which systemd knows by name).
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a process of ours ends, so that whoever started it knows why."""

    OK = 0
    FAILURE = 1
    USAGE = 64
    UNAVAILABLE = 69
    SOFTWARE = 70
    CANNOT_CREATE = 73
    TEMPORARY = 75
    NO_PERMISSION = 77
    BAD_CONFIG = 78


class MistError(Exception):
    """Root of the tree."""

    exit_status: Exit = Exit.FAILURE


class UsageError(MistError):
    """What was asked for makes no sense; the text says what would."""

    exit_status = Exit.USAGE


class Conflict(UsageError):
    """What was asked for does not fit the state that things are in."""


class AlreadyExists(Conflict):
    """A name that has to be the only one of its kind is taken."""


class NotFound(UsageError):
    """What was named does not exist."""


class SettingsError(MistError):
    """The settings cannot be used: an unknown key, a wrong type, a value out of bounds."""

    exit_status = Exit.BAD_CONFIG

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source = source
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}"


class UnsafePath(MistError):
    """A directory or file of ours that other users could change."""

    exit_status = Exit.NO_PERMISSION

    def __init__(self, variable: str, path: object, problem: str) -> None:
        super().__init__(variable, path, problem)
        self.variable = variable
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path} ({self.variable}) is not safe to use: {self.problem}"


class BrokenInstallation(MistError):
    """A module of the program or of a library cannot be imported; trying again does not help."""

    exit_status = Exit.SOFTWARE

    def __init__(self, part: str, problem: str) -> None:
        super().__init__(part, problem)
        self.part = part
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"{self.part} cannot be loaded: {self.problem}; the installation is incomplete "
            "or damaged, install Mist again"
        )


class EngineError(MistError):
    """The Docker Engine did not do what it was asked to."""

    exit_status = Exit.UNAVAILABLE


class EngineUnreachable(EngineError):
    """Nobody answers on the engine's socket, or the answer did not come in time."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, reason)
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return f"Docker Engine is unreachable at {self.host}: {self.reason}"


class ContainerNotFound(EngineError):
    """The engine knows no container of that name or id."""

    def __init__(self, container: str) -> None:
        super().__init__(container)
        self.container = container

    def __str__(self) -> str:
        return f"no such container: {self.container}"


class StoreError(MistError):
    """The store cannot be read or written: a full disk, a lock, a wrong URL."""

    exit_status = Exit.UNAVAILABLE


class BusError(MistError):
    """The broker cannot be reached, or sent what cannot be understood."""

    exit_status = Exit.UNAVAILABLE


class WireError(BusError):
    """A bus message that does not keep the format; it is dropped, never guessed at."""


class StoreFull(StoreError):
    """The disk below the store has no space left; what was asked for is not done."""


class NotLoggedIn(MistError):
    """No session, or one that is over: expired, logged out, or older than the password."""

    exit_status = Exit.NO_PERMISSION


class LoginRefused(MistError):
    """No such account, or another password: the text does not say which."""

    exit_status = Exit.NO_PERMISSION

    def __str__(self) -> str:
        return "Wrong e-mail address or password"


class TooManyAttempts(LoginRefused):
    """So many log-ins failed that the next is not looked at before ``retry_after`` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"Too many failed log-ins, try again in {self.retry_after} s"


class AlreadyRunning(MistError):
    """Another ``mist up`` works on the same state."""

    exit_status = Exit.TEMPORARY

    def __init__(self, pid: int | None, home: str) -> None:
        super().__init__(pid, home)
        self.pid = pid
        self.home = home

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid else "another process"
        return (
            f"mist already runs on {self.home} ({who}). Stop it first, "
            "or set MIST_HOME and MIST_RUNTIME for a second one."
        )
