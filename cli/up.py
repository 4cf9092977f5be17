"""``mist up``: run the whole service in the foreground."""

from __future__ import annotations

import os

import click
from msgspec import structs

from cli import terminal
from mist.accounts.first_admin import EMAIL, ensure_admin
from mist.accounts.secret import load_or_create
from mist.addresses import check_port
from mist.errors import EngineError, Exit, MistError
from mist.paths import bundled, resolve_paths
from mist.settings import Settings, load_settings
from mist.store import Store
from supervisor.main import serve
from supervisor.spawn import gunicorn

# How long the start waits for an engine that may hang, in seconds.
_ENGINE_SECONDS = 2.0


@click.command("up")
@click.option("--bind", metavar="HOST:PORT", help="Address to listen on [server.bind].")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Number of web workers [server.workers]."
)
def command(bind: str | None, workers: int | None) -> None:
    """Run supervisor, broker, sampler and web tier in the foreground, until ^C.

    The first start creates the store, a secret and an administrator, and prints the
    address and the one-time password.
    """
    paths = resolve_paths()
    settings = _with_options(load_settings(), bind, workers)
    os.umask(0o077)  # one user runs everything, so nothing has to be readable by others

    def before(store: Store) -> None:
        check_port(settings.server.bind)  # first: a failed start must not create the administrator
        load_or_create(paths)
        _welcome(settings.server.bind, ensure_admin(store))
        warn_without_engine(settings)

    configuration = str(bundled("gunicorn.conf.py"))
    serve(settings, paths, web=tuple(gunicorn(configuration)), before=before)


def warn_without_engine(settings: Settings) -> None:
    """Warn if no engine answers, and continue, because it may start later.

    A child process makes the check, so that the engine's client does not stay in the
    memory of the supervisor, which has no other use for it.
    """
    child = os.fork()
    if child == 0:
        try:
            _look_for_engine(settings)
        finally:
            os._exit(Exit.OK)  # not sys.exit, which would run the parent's exit handlers
    os.waitpid(child, 0)


def _look_for_engine(settings: Settings) -> None:
    from workers.engine import dial  # noqa: PLC0415 - see warn_without_engine

    # A hanging engine must not delay the start.
    timeout = min(_ENGINE_SECONDS, settings.engine.timeout_seconds)
    try:
        engine = structs.replace(settings.engine, timeout_seconds=timeout)
        dial(structs.replace(settings, engine=engine))
    except MistError as error:
        hint = "; logs and deployments work as soon as it answers (see `mist doctor`)"
        terminal.say(f"mist: {error}{hint if isinstance(error, EngineError) else ''}", error=True)


def _with_options(settings: Settings, bind: str | None, workers: int | None) -> Settings:
    server = settings.server
    server = structs.replace(server, bind=bind or server.bind, workers=workers or server.workers)
    return structs.replace(settings, server=server)


def _welcome(bind: str, password: str | None) -> None:
    """Print what the user needs to log in; the password is shown only this once."""
    terminal.say(f"Mist listens on http://{bind}")
    if password is not None:  # only on the first start
        terminal.say(f"Log in as {EMAIL}, one-time password: {password}")
