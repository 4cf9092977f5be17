"""The settings: one frozen record for each section of ``mist.toml``.

The file that ``MIST_CONFIG`` names (default ``/etc/mist/mist.toml``, which need
not exist) is read first; ``MIST_SECTION_KEY`` in the environment wins over it.
An unknown key, a wrong type or a value out of bounds is an error that names the
key.  Every limit of the service is one of these fields; ``etc/mist.toml`` says
of each why it has the default it has.
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
    """Where and how the web tier listens."""

    bind: str = "127.0.0.1:8420"
    workers: Count = 1
    worker_connections: Count = 10_000
    backlog: Count = 2048
    start_seconds: Seconds = 30.0
    graceful_timeout: Seconds = 5.0
    keepalive_seconds: Seconds = 60.0
    request_seconds: Seconds = 10.0
    allowed_origins: tuple[str, ...] = ()
    forwarded_allow_ips: str = "127.0.0.1,::1"
    max_body_bytes: Bytes = 65_536


class AuthSettings(Section, frozen=True):
    """Sessions and log-ins."""

    session_hours: Seconds = 24.0
    check_seconds: Seconds = 20.0
    login_attempts: Count = 10
    login_window_seconds: Seconds = 300.0


class EngineSettings(Section, frozen=True):
    """The Docker Engine; an empty ``host`` means DOCKER_HOST, or else its usual socket."""

    host: str = ""
    timeout_seconds: Seconds = 10.0


class StoreSettings(Section, frozen=True):
    """The database; an empty ``url`` means SQLite in MIST_HOME."""

    url: str = ""
    busy_seconds: Seconds = 5.0


class BusSettings(Section, frozen=True):
    """ZeroMQ queues, counted in messages of at most ``batch_bytes`` each, and the TCP tap."""

    batch_bytes: Bytes = 65_536
    collector_queue: Count = 8
    subscriber_queue: Count = 512
    replay_queue: Count = 8
    resend_bytes: Bytes = 4_194_304
    gather_seconds: Annotated[float, Meta(ge=0)] = 0.001
    tap_bind: str = ""
    tap_keys: str = ""


class ReplaySettings(Section, frozen=True):
    """What the broker remembers of a topic, and a collector asks of the engine at its start."""

    lines: Count = 1_000
    bytes: Bytes = 8_388_608
    topics: Count = 1_000


class CollectorSettings(Section, frozen=True):
    """Collectors of container logs."""

    linger_seconds: Seconds = 5.0
    max_running: Count = 200
    restart_seconds: Seconds = 10.0
    stop_grace_seconds: Seconds = 0.5
    silence_seconds: Seconds = 5.0
    retry_seconds: Seconds = 0.25
    gather_seconds: Annotated[float, Meta(ge=0)] = 0.001
    gather_limit_seconds: Annotated[float, Meta(ge=0)] = 0.1
    line_bytes: Bytes = 1_048_576


class StreamSettings(Section, frozen=True):
    """The fan-out to WebSocket clients."""

    tail_lines: Annotated[int, Meta(ge=0)] = 100
    ring_lines: Count = 20_000
    ring_bytes: Bytes = 16_777_216
    max_clients: Count = 10_000
    ping_seconds: Seconds = 30.0
    stall_seconds: Seconds = 30.0
    close_seconds: Seconds = 5.0
    start_seconds: Seconds = 15.0
    max_message_bytes: Annotated[int, Meta(ge=125)] = 4_096
    unsent_bytes: Bytes = 131_072
    reconcile_seconds: Seconds = 1.0
    gather_seconds: Seconds = 0.01


class MetricsSettings(Section, frozen=True):
    """The sampler of the host's metrics."""

    disk_path: str = "/"
    history_samples: Annotated[int, Meta(ge=1, le=1_000)] = 300
    stale_seconds: Seconds = 5.0
    recount_seconds: Seconds = 30.0


class SupervisorSettings(Section, frozen=True):
    """Starting, restarting and stopping processes."""

    backoff_seconds: Seconds = 0.25
    backoff_limit_seconds: Seconds = 30.0
    crash_limit: Count = 8
    crash_window_seconds: Seconds = 60.0
    stop_seconds: Seconds = 10.0
    poll_seconds: Seconds = 1.0


class DeploymentSettings(Section, frozen=True):
    """The queue and the runner of deployments."""

    concurrency: Count = 2
    max_pending: Count = 20
    clone_seconds: Seconds = 300.0
    build_seconds: Seconds = 3_600.0
    stop_seconds: Seconds = 10.0
    settle_seconds: Seconds = 5.0
    health_seconds: Seconds = 120.0
    recovery_seconds: Seconds = 60.0
    cancel_poll_seconds: Seconds = 0.5
    log_bytes: Bytes = 67_108_864
    context_bytes: Bytes = 1_073_741_824
    ignore_bytes: Bytes = 262_144
    credential_seconds: Seconds = 10.0
    trusted_repositories: tuple[str, ...] = ()
    keep_images: Count = 5
    network: str = ""
    build_network: str = ""
    publish_address: str = "0.0.0.0"  # noqa: S104 - what the engine itself does


class LogSettings(Section, frozen=True):
    """The service's own log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "logfmt", "json"] = "auto"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All sections."""

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    engine: EngineSettings = EngineSettings()
    store: StoreSettings = StoreSettings()
    bus: BusSettings = BusSettings()
    replay: ReplaySettings = ReplaySettings()
    collector: CollectorSettings = CollectorSettings()
    streams: StreamSettings = StreamSettings()
    metrics: MetricsSettings = MetricsSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    deployments: DeploymentSettings = DeploymentSettings()
    log: LogSettings = LogSettings()


#: Variables of the environment that begin with MIST_ and are no settings.
NOT_SETTINGS: Final = frozenset({"MIST_CONFIG", "MIST_HOME", "MIST_RUNTIME"})


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in force; SettingsError if the file or the environment is wrong."""
    named = environ.get("MIST_CONFIG")
    path = Path(named) if named else DEFAULT_FILE
    raw = _read(path, must_exist=bool(named))
    _convert(raw, str(path))
    overrides = _overrides(environ)
    for (section, key), value in overrides.items():
        table = raw.setdefault(section, {})
        table[key] = value
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
    """What the environment says, as (section, key) to value."""
    sections = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    found: dict[tuple[str, str], object] = {}
    for name, text in environ.items():
        if not name.startswith("MIST_") or name in NOT_SETTINGS:
            continue
        section, _, key = name.removeprefix("MIST_").lower().partition("_")
        if section not in sections:
            continue
        types = {field.name: field.type for field in msgspec.structs.fields(sections[section])}
        if key not in types:
            raise SettingsError(name, f"section [{section}] of the settings has no key {key!r}")
        is_list = types[key] == tuple[str, ...]
        found[section, key] = text.split() if is_list else text
    return found


def _convert(raw: dict[str, Any], source: str, strict: bool = True) -> Settings:
    try:
        return msgspec.convert(raw, Settings, strict=strict)
    except msgspec.ValidationError as error:
        raise SettingsError(source, str(error)) from None


#: Configurations of gunicorn that an earlier version installed call this.
load: Final = load_settings
