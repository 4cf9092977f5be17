"""The settings: one frozen record per section of ``mist.toml``.

The file named by ``MIST_CONFIG`` is read first (default ``/etc/mist/mist.toml``, which
may be missing); ``MIST_SECTION_KEY`` in the environment overrides it.  An unknown key,
a wrong type or a value out of bounds is an error that names the key.  Every limit of
the service is one of these fields; ``etc/mist.toml`` gives the reason for each default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from mist.errors import SettingsError

DEFAULT_FILE: Final = Path("/etc/mist/mist.toml")

Count = Annotated[int, Meta(ge=1)]
Bytes = Annotated[int, Meta(ge=1024)]
Seconds = Annotated[float, Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the settings file."""


class ServerSettings(Section, frozen=True):
    """The web tier's address and its limits."""

    bind: str = "127.0.0.1:8420"  # loopback: TLS is a reverse proxy's job
    workers: Count = 1  # one serves a thousand clients of a busy stream
    worker_connections: Count = 10_000  # open sockets per worker
    connections_per_address: Count = 1_000  # of these; a tenth, for requests
    backlog: Count = 2048  # connections that wait for accept()
    start_seconds: Seconds = 30.0  # until a worker serves
    graceful_timeout: Seconds = 5.0  # for pending data and closing handshakes
    keepalive_seconds: Seconds = 60.0  # between two requests of a connection
    request_seconds: Seconds = 10.0  # for headers and body, against slow senders
    full_patience_seconds: Seconds = 2.0  # for slow clients while all places are taken
    max_header_bytes: Bytes = 32_768  # all headers together
    allowed_origins: tuple[str, ...] = ()  # besides Mist's own
    forwarded_allow_ips: str = "127.0.0.1,::1"  # proxies whose X-Forwarded-* count
    max_body_bytes: Bytes = 65_536


class AuthSettings(Section, frozen=True):
    """Sessions and log-ins."""

    session_hours: Seconds = 24.0  # hours, despite the type's name
    check_seconds: Seconds = 20.0  # a revoked session's streams end within 60 s
    login_attempts: Count = 10  # failures per network, and per known device, and window
    login_account_attempts: Count = 100  # failures per account, from all networks
    device_days: Seconds = 180.0  # days, despite the type's name
    login_window_seconds: Seconds = 300.0
    proxy_header: str = ""  # the user's email address, from a proxy that signs users in
    tokens_per_user: Count = 50  # a person's programs have a handful
    token_used_seconds: Annotated[float, Meta(ge=0)] = 60.0  # how exact the last use is


class AuditSettings(Section, frozen=True):
    """The record of who changed what."""

    records: Count = 10_000  # the newest are kept: years for a small team, 2 MB


class EngineSettings(Section, frozen=True):
    """The Docker Engine; an empty ``host`` means DOCKER_HOST or the default socket."""

    host: str = ""
    timeout_seconds: Seconds = 10.0


class StoreSettings(Section, frozen=True):
    """The database; an empty ``url`` means SQLite in MIST_HOME."""

    url: str = ""
    busy_seconds: Seconds = 5.0  # wait for another process's write


class BusSettings(Section, frozen=True):
    """The TCP tap, and the queues and connections of the bus."""

    batch_bytes: Bytes = 65_536  # the largest body of one message
    collector_queue: Count = 8  # few: the engine keeps the rest on disk
    subscriber_queue: Count = 512  # beyond it messages are lost, and replayed
    receive_queue: Count = 16  # few: a line can take 6 MiB, and the broker queues the rest
    unsent_bytes: Bytes = 50_331_648  # queued for all subscribers
    replay_queue: Count = 8
    replay_bytes: Bytes = 33_554_432  # queued answers for all subscribers
    memory_bytes: Bytes = 536_870_912  # of the broker, which is restarted if it needs more
    connections: Count = 128  # of subscribers, to ``events`` and to ``replay``
    subscriptions: Count = 10_000  # per connection: one for each client of a worker
    resend_bytes: Bytes = 4_194_304  # kept for a broker that restarts
    gather_seconds: Annotated[float, Meta(ge=0)] = 0.001
    tap_bind: str = ""  # empty: no tap over TCP
    tap_keys: str = ""
    tap_connections: Count = 64  # over TCP, with and without a key


class ReplaySettings(Section, frozen=True):
    """The broker's buffer per topic, and how much history a collector reads at its start."""

    lines: Count = 1_000
    bytes: Bytes = 8_388_608
    total_bytes: Bytes = 104_857_600  # of all topics: 200 busy ones have 500 KB each
    topics: Count = 1_000


class CollectorSettings(Section, frozen=True):
    """Collectors of container logs."""

    linger_seconds: Seconds = 5.0  # after the last listener
    max_running: Count = 200  # each is a process
    max_named: Count = 100  # of these, for containers that are no application's
    restart_seconds: Seconds = 10.0  # a container may be away this long
    stop_grace_seconds: Seconds = 0.5  # tells a restart from a stop
    silence_seconds: Seconds = 5.0  # a rotated log can silence the stream
    retry_seconds: Seconds = 0.25  # between attempts to reach the engine
    gather_seconds: Annotated[float, Meta(ge=0)] = 0.001
    gather_limit_seconds: Annotated[float, Meta(ge=0)] = 0.1
    line_bytes: Bytes = 1_048_576  # longer lines are truncated
    recall_seconds: Seconds = 60.0  # after a restart of everything, continue an older log
    recall_lines: Count = 1_000_000  # no farther back than this, which takes some seconds


class StreamSettings(Section, frozen=True):
    """The fan-out to WebSocket clients."""

    tail_lines: Annotated[int, Meta(ge=0)] = 100  # unless the client asks for another number
    ring_lines: Count = 20_000  # per stream, shared by all clients
    ring_bytes: Bytes = 16_777_216  # the same bound in bytes
    max_clients: Count = 10_000  # WebSockets per worker
    max_per_user: Count = 250  # of these; a browser opens at most 255
    max_per_address: Count = 2_500  # of these; many people may share an address
    ping_seconds: Seconds = 30.0  # proxies drop idle connections after 60 s
    stall_seconds: Seconds = 30.0  # without any progress of a full socket
    close_seconds: Seconds = 5.0  # for the closing handshake
    start_seconds: Seconds = 15.0  # until a collector's first message
    max_message_bytes: Annotated[int, Meta(ge=125)] = 4_096  # a control frame has up to 125 bytes
    unsent_bytes: Bytes = 131_072  # TCP_NOTSENT_LOWAT
    reconcile_seconds: Seconds = 1.0  # finds a lost last message
    gather_seconds: Seconds = 0.01  # several lines per system call


class MetricsSettings(Section, frozen=True):
    """The sampler of the host's metrics."""

    disk_path: str = "/"
    history_samples: Annotated[int, Meta(ge=1, le=1_000)] = 300  # one per second: five minutes
    stale_seconds: Seconds = 5.0  # older engine counts become null
    recount_seconds: Seconds = 30.0  # in case an event was missed


class ContainerSettings(Section, frozen=True):
    """The collectors of the host's containers and of their figures."""

    max_running: Count = 100  # of figures of single containers; each is a process
    history_samples: Annotated[int, Meta(ge=1, le=1_000)] = 300  # one per second: five minutes
    settle_seconds: Annotated[float, Meta(ge=0)] = 0.1  # a burst of changes is one list
    relist_seconds: Seconds = 30.0  # in case an event was missed
    answer_seconds: Seconds = 10.0  # for GET /api/containers


class ReaderSettings(Section, frozen=True):
    """Readers of older log lines, searches and downloads; each is a process."""

    max_running: Count = 16
    max_per_user: Count = 4  # several applications side by side
    retry_seconds: Count = 2  # suggested to refused clients
    start_seconds: Seconds = 25.0  # until the answer begins: two engine time-outs
    seconds: Seconds = 3_600.0  # for one request; a download may be slow
    stall_seconds: Seconds = 30.0  # without any progress of the client
    window_bytes: Bytes = 8_388_608  # memory for reading backwards
    query_bytes: Bytes = 4_096  # of ``q``


class SupervisorSettings(Section, frozen=True):
    """How processes are started, restarted and stopped."""

    backoff_seconds: Seconds = 0.25  # doubles with each crash
    backoff_limit_seconds: Seconds = 30.0
    crash_limit: Count = 8  # this many within the window: given up
    crash_window_seconds: Seconds = 60.0
    stop_seconds: Seconds = 10.0
    poll_seconds: Seconds = 1.0  # for pending deployments
    hang_seconds: Annotated[float, Meta(ge=2)] = 6.0  # each loop turns once a second


class DeploymentSettings(Section, frozen=True):
    """The deployment queue and its runners."""

    concurrency: Count = 2  # builds are expensive
    max_pending: Count = 20  # per application; further ones are refused
    clone_seconds: Seconds = 300.0
    build_seconds: Seconds = 3_600.0
    stop_seconds: Seconds = 10.0
    settle_seconds: Seconds = 5.0  # a container without a health check must stay up
    health_seconds: Seconds = 120.0  # to become healthy
    drain_seconds: Annotated[float, Meta(ge=0)] = 2.0  # between taking over and stopping the old
    recovery_seconds: Seconds = 60.0  # to restore the old container
    cancel_poll_seconds: Seconds = 0.5
    hang_seconds: Annotated[float, Meta(ge=2)] = 10.0  # a runner that shows no progress
    end_seconds: Seconds = 10.0  # to end by itself when cancelled or over time
    log_bytes: Bytes = 67_108_864  # further output is left out
    kept_log_bytes: Annotated[int, Meta(ge=0)] = 16_777_216  # of the replaced container
    kept_log_seconds: Seconds = 30.0  # to keep it
    checkout_bytes: Bytes = 2_147_483_648  # the files and Git's copy of them
    checkout_files: Count = 100_000  # files and directories
    checkout_depth: Count = 100  # directories in each other
    checkout_path_bytes: Count = 1_024  # of each path in the repository
    disk_reserve_bytes: Bytes = 268_435_456  # left free for the store
    git_memory_bytes: Bytes = 1_073_741_824  # of each Git process
    context_bytes: Bytes = 1_073_741_824  # as a tar archive
    ignore_bytes: Bytes = 262_144  # of a .dockerignore
    credential_seconds: Seconds = 10.0  # for each credential helper
    trusted_repositories: tuple[str, ...] = ()  # file:// repositories of other users
    keep_images: Count = 5  # per application, for rollbacks
    host_paths: tuple[str, ...] = ()  # that applications may mount, with all below them
    network: str = ""
    build_network: str = ""
    publish_address: str = "0.0.0.0"  # noqa: S104 - the engine's own default


class HookSettings(Section, frozen=True):
    """Webhooks of Git providers."""

    body_bytes: Bytes = 4_194_304  # a push of 2,048 commits, the most that GitHub lists
    reading_bytes: Bytes = 67_108_864  # of all bodies that a worker reads at a time
    deliveries: Count = 1_000  # remembered per application
    pushes: Count = 30  # per application, worker and window
    refusals: Count = 60  # per network, worker and window
    window_seconds: Seconds = 60.0


class LogSettings(Section, frozen=True):
    """The service's own log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "logfmt", "json"] = "auto"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of all sections."""

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    audit: AuditSettings = AuditSettings()
    engine: EngineSettings = EngineSettings()
    store: StoreSettings = StoreSettings()
    bus: BusSettings = BusSettings()
    replay: ReplaySettings = ReplaySettings()
    collector: CollectorSettings = CollectorSettings()
    streams: StreamSettings = StreamSettings()
    metrics: MetricsSettings = MetricsSettings()
    containers: ContainerSettings = ContainerSettings()
    reader: ReaderSettings = ReaderSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    deployments: DeploymentSettings = DeploymentSettings()
    hooks: HookSettings = HookSettings()
    log: LogSettings = LogSettings()


# Environment variables that begin with MIST_ but are not settings.
NOT_SETTINGS: Final = frozenset({"MIST_CONFIG", "MIST_HOME", "MIST_RUNTIME"})


def load_settings(
    environ: Mapping[str, str] = os.environ, *, or_defaults: bool = False
) -> Settings:
    """Return the settings in force; raise SettingsError if the file or environment is wrong.

    With ``or_defaults``, a user who may not read the default file gets the defaults.
    """
    named = environ.get("MIST_CONFIG")
    path = Path(named) if named else DEFAULT_FILE
    if or_defaults and not named and os.path.exists(path) and not os.access(path, os.R_OK):
        raw: dict[str, Any] = {}  # it may hold a password, which the users of taps must not read
    else:
        raw = _read(path, must_exist=bool(named))
    # Check the file alone first, so that an error names the file and not the environment.
    _convert(raw, str(path))
    overrides = _overrides(environ)
    for (section, key), value in overrides.items():
        table = raw.setdefault(section, {})
        table[key] = value
    # Values from the environment are text; the file's own types were checked above.
    return _convert(raw, "the environment", strict=not overrides)


def _read(path: Path, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(str(path), "no such file; MIST_CONFIG names it") from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), f"not a TOML file: {error}") from None
    except OSError as error:
        raise SettingsError(str(path), error.strerror or str(error)) from None


def _overrides(environ: Mapping[str, str]) -> dict[tuple[str, str], object]:
    """Return the settings from the environment by section and key."""
    sections = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    found: dict[tuple[str, str], object] = {}
    for name, text in environ.items():
        if not name.startswith("MIST_") or name in NOT_SETTINGS:
            continue
        section, _, key = name.removeprefix("MIST_").lower().partition("_")
        if section not in sections:  # another program's variable, such as MIST_MACHINES
            continue
        types = {field.name: field.type for field in msgspec.structs.fields(sections[section])}
        if key not in types:
            raise SettingsError(name, f"section [{section}] of the settings has no key {key!r}")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise SettingsError(name, "not UTF-8 text") from None
        is_list = types[key] == tuple[str, ...]
        found[section, key] = text.split() if is_list else text
    return found


def _convert(raw: dict[str, Any], source: str, strict: bool = True) -> Settings:
    try:
        return msgspec.convert(raw, Settings, strict=strict)
    except msgspec.ValidationError as error:
        raise SettingsError(source, str(error)) from None


# The name that gunicorn configurations installed by earlier versions call.
load: Final = load_settings
