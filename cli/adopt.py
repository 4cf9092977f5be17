"""``mist app adopt``: let a deployment replace a container that Mist did not create."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import click

from cli import terminal
from cli.remote.choice import chosen_service, remotely
from cli.state import note_change, opened_store
from cli.terminal import human
from mist import validation
from mist.apps import management
from mist.errors import Conflict, Exit, NotFound, UsageError
from mist.settings import Settings, load_settings
from mist.store import App, Store
from mist.visible import visible

_KEPT: Final = "carried over"
_LOST: Final = "not carried over"

# Limits in the engine's ``HostConfig`` ("Create a container"); 0 or less means no limit.
_LIMITS: Final[dict[str, Callable[[int], str]]] = {
    "Memory": lambda value: f"{human(value)} of memory",
    "MemorySwap": lambda value: f"{human(value)} of memory and swap",
    "NanoCpus": lambda value: f"{value / 1e9:g} CPUs",
    "CpuQuota": lambda value: f"a CPU quota of {value} µs",
    "CpuShares": lambda value: f"{value} CPU shares",
    "PidsLimit": lambda value: f"{value} processes",
}


class Fact(NamedTuple):
    """A property of a container, and what the next deployment does with it."""

    what: str
    now: str
    then: str


@click.command()
@click.argument("app")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@remotely
def adopt(app: str, yes: bool) -> None:
    """Let the next deployment of APP (a name or an id) replace a container it did not create.

    This is the container with the application's container name.  The command first shows
    its image, ports, mounts and limits, and which of them the new container will lack.
    """
    if (service := chosen_service()) is not None:
        raise UsageError(
            f"adopting asks the Docker Engine about the container, which {service.url} does not "
            f"do for other machines; run `mist app adopt {app}` there, without MIST_URL"
        )
    settings = load_settings()
    with opened_store() as store:
        target = management.find_app(store, app)
        found = _adoptable(store, settings, target)
        state, short = found["State"]["Status"], found["Id"][:12]
        terminal.say(f"The next deployment of {target.name} replaces this container:\n")
        terminal.say(f"  {target.container} ({short}, {state})")
        facts = list(_facts(found, target, settings))
        width = max(len(fact.now) for fact in facts)
        for what, now, then in facts:
            terminal.say(f"  {what:<9}{visible(now):<{width}}  {then}")
        for note in _notes(found):
            terminal.say(f"\n{note}")
        terminal.say()
        if not yes and not _confirmed():
            terminal.say("Nothing was changed; use --yes to adopt it without confirmation.")
            raise SystemExit(Exit.FAILURE)
        # By id: another container may take the name before the deployment.
        store.apps.adopt(target.id, found["Id"])
        note_change(store)
    terminal.say(f"Adopted; `mist deploy {target.name}` will replace it.")


def _confirmed() -> bool:
    try:
        return click.confirm("Adopt it?")
    except click.Abort:
        # Standard input has ended, so the question cannot be answered.
        terminal.say()
        return False


def _adoptable(store: Store, settings: Settings, app: App) -> dict[str, Any]:
    """Return the engine's description of the container; raise NotFound or Conflict."""
    # Imported here, because the engine's client is slow to load and `mist app list` needs none.
    from workers import engine, references  # noqa: PLC0415
    from workers.deployment import ownership  # noqa: PLC0415

    if app.git_url is None:
        raise Conflict(f"{app.name} has no Git repository, so no deployment replaces its container")
    # The engine itself would also accept the beginning of an id.
    found = references.find_container(settings, app.container)
    if found is None:
        raise NotFound(
            f"there is no container {app.container!r} to adopt; `mist deploy {app.name}` creates it"
        )
    if ownership.owner(store, found) == app.id:  # the next deployment replaces it anyway
        raise Conflict(f"a deployment of {app.name} created the container {app.container!r}")
    if store.apps.adopted(app.id) == found["Id"]:
        raise Conflict(
            f"{app.name} has already adopted the container {app.container!r}; "
            f"`mist deploy {app.name}` will replace it"
        )
    text, adoptable = ownership.stranger(store, app, found)
    if not adoptable:
        raise Conflict(text)
    # ``size`` makes the engine measure the files outside of mounts, which may take seconds.
    return dict(engine.get_json(settings, f"/containers/{found['Id']}/json", size=1))


def _facts(found: dict[str, Any], app: App, settings: Settings) -> Iterator[Fact]:
    from workers.deployment import volumes  # noqa: PLC0415 - see _adoptable

    host = found["HostConfig"]
    source = validation.public_git_url(app.git_url or "")  # without a password
    yield Fact("image", found["Config"]["Image"], f"replaced by an image built from {source}")
    for inside, outside in sorted((host["PortBindings"] or {}).items()):
        for binding in outside or ():
            same = inside == f"{app.port}/tcp" and binding["HostPort"] == str(app.port)
            now = f"{binding['HostIp'] or '*'}:{binding['HostPort'] or '(any)'} -> {inside}"
            then = f"published on {settings.deployments.publish_address}" if same else _LOST
            yield Fact("port", now, then)
    for mount in sorted(found["Mounts"], key=lambda mount: str(mount["Destination"])):
        then = _KEPT if mount["Type"] in volumes.KEPT else _LOST
        yield Fact("mount", volumes.describe(mount), then)
    for path in sorted(host.get("Tmpfs") or {}):
        yield Fact("mount", f"tmpfs at {path}", _LOST)
    for key, words in _LIMITS.items():
        if (host.get(key) or 0) > 0:  # -1 and 0 mean no limit
            yield Fact("limit", words(host[key]), _LOST)
    network = settings.deployments.network or "bridge"  # the engine's default
    for name in sorted(found["NetworkSettings"]["Networks"]):
        yield Fact("network", name, _KEPT if name == network else _LOST)
    # Names only: values may be secret. Almost every image sets PATH.
    variables = sorted({text.partition("=")[0] for text in found["Config"]["Env"] or ()} - {"PATH"})
    for name in variables:
        yield Fact("variable", name, "set by the application" if name in app.env else _LOST)
    if found.get("SizeRw"):
        yield Fact("files", f"{human(found['SizeRw'])} outside of mounts", "removed with it")


def _notes(found: dict[str, Any]) -> Iterator[str]:
    """Yield warnings about side effects of replacing the container."""
    if found["HostConfig"]["AutoRemove"]:
        yield (
            "The engine removes it once it is stopped (--rm), so a failed deployment cannot\n"
            "bring it back. Its volumes are kept."
        )
    project = (found["Config"]["Labels"] or {}).get("com.docker.compose.project")
    if project:
        yield f"It belongs to the Compose project {project}: remove it from that project, too."
