"""Tests of ``mist app adopt`` as a user runs it, on a real engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mist.store.records import App
from tests.support.service.deployment_checks import check_clean, container_id, failed
from tests.support.service.deployments import SERVE, Deployer, dockerfile
from tests.support.service.engine import IMAGE
from tests.support.service.service import MIST

Adopt = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def adopt(deployer: Deployer) -> Adopt:
    """Run the command on the deployer's store: ``adopt(APP, OPTION…, answer=TEXT)``."""
    environment = {key: text for key, text in os.environ.items() if not key.startswith("MIST_")}
    environment |= {
        "MIST_HOME": str(deployer.paths.home),
        "MIST_RUNTIME": str(deployer.paths.runtime),
        "MIST_ENGINE_HOST": deployer.engine.host,
    }

    def run(*arguments: str, answer: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(MIST), "app", "adopt", *arguments]
        done = subprocess.run(
            command,
            check=False,
            env=environment | more,
            input=answer,
            text=True,
            capture_output=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def app(deployer: Deployer, container: str) -> App:
    """An application that has not been deployed yet."""
    repository = deployer.repository({"Dockerfile": dockerfile()})
    return deployer.app(repository.url, container=container, port=3000, env={"MODE": "quick"})


@pytest.fixture
def stranger(deployer: Deployer, container: str) -> Iterator[str]:
    """The id of a container that was made by hand and uses every kind of option."""
    host = deployer.directory / "host"
    host.mkdir()
    client: Any = deployer.engine.client
    config = client.create_host_config(
        network_mode="none",
        binds=[f"{container}-data:/data", f"{host}:/host:ro"],
        tmpfs={"/scratch": ""},
        port_bindings={3000: 3000, 80: ("127.0.0.1", 8080), 81: None},
        mem_limit="64m",
        nano_cpus=1_500_000_000,
        pids_limit=50,
    )
    made = client.create_container(
        IMAGE,
        ["/bin/sh", "-c", f"echo x > /file; {SERVE}"],
        name=container,
        host_config=config,
        stop_signal="SIGTERM",
        environment={"MODE": "slow", "KEY": "hunter2"},
        labels={"com.docker.compose.project": "blog\x1b[31m"},
        volumes=["/anonymous"],
    )["Id"]
    client.start(made)
    yield made
    deployer.engine.remove(container)
    client.remove_volume(f"{container}-data")


def test_shows_what_becomes_of_it_and_asks(
    deployer: Deployer, adopt: Adopt, app: App, stranger: str
) -> None:
    """Nothing changes without a yes; after it, exactly this container may be replaced."""
    for answer in ("", "n\n", "what\nn\n"):
        done = adopt(app.name, answer=answer)
        assert done.returncode == 1
        assert done.stdout.endswith(
            "Nothing was changed; use --yes to adopt it without confirmation.\n"
        )
        assert deployer.store.apps.adopted(app.id) is None
    shown = [" ".join(line.split()) for line in done.stdout.splitlines()]
    volume = next(
        each["Name"]
        for each in deployer.engine.client.inspect_container(stranger)["Mounts"]
        if each["Destination"] == "/anonymous"
    )
    assert {
        f"{app.container} ({stranger[:12]}, running)",
        f"image {IMAGE} replaced by an image built from {app.git_url}",
        "port *:3000 -> 3000/tcp published on 0.0.0.0",
        "port 127.0.0.1:8080 -> 80/tcp not carried over",
        f"mount volume {volume} at /anonymous carried over",
        f"mount volume {app.container}-data at /data carried over",
        f"mount bind mount {deployer.directory}/host at /host (read-only) carried over",
        "mount tmpfs at /scratch not carried over",
        "limit 64.0 MiB of memory not carried over",
        "limit 1.5 CPUs not carried over",
        "limit 50 processes not carried over",
        "network none not carried over",
        "variable KEY not carried over",
        "variable MODE set by the application",
        r"It belongs to the Compose project blog\x1b[31m: remove it from that project, too.",
    } <= set(shown)
    assert any(line.startswith("files ") and "outside of mounts" in line for line in shown)
    assert "hunter2" not in done.stdout
    failed(deployer, deployer.deploy(app), f"`mist app adopt {app.name}`")
    done = adopt(str(app.id), answer="y\n")
    assert done.returncode == 0
    assert deployer.store.apps.adopted(app.id) == stranger
    assert deployer.deploy(app).status == "success"
    assert container_id(deployer, app.container) != stranger
    check_clean(deployer, app, containers=1)


def test_yes_asks_nothing(deployer: Deployer, adopt: Adopt, app: App, stranger: str) -> None:
    """With ``--yes`` the command does not ask; it still mentions ``--rm``."""
    deployer.engine.remove(stranger)
    deployer.engine.run(app.container, SERVE, auto_remove=True)
    done = adopt(app.name, "--yes")
    assert done.returncode == 0
    assert f"Adopted; `mist deploy {app.name}` will replace it." in done.stdout
    assert "--rm" in done.stdout
    done = adopt(app.name, "--yes")
    assert (done.returncode, done.stdout) == (64, "")
    assert "adopted the container" in done.stderr
    assert "already" in done.stderr


def test_what_cannot_be_adopted_says_why(
    deployer: Deployer, adopt: Adopt, app: App, container: str
) -> None:
    """A container that cannot be adopted gives one line on standard error and records nothing."""

    def refused(name: str, words: str, status: int = 64, **more: str) -> None:
        done = adopt(name, "--yes", **more)
        assert done.returncode == status
        assert done.stderr.startswith("mist: ")
        assert done.stderr.count("\n") == 1
        assert words in done.stderr
        assert done.stdout == ""

    engine = deployer.engine
    refused("nothing", "there is no application 'nothing'")
    refused(app.name, f"there is no container '{container}' to adopt")
    watched = deployer.store.apps.add("watched", container=container)
    refused("watched", "has no Git repository")
    second = deployer.app(app.git_url or "", container=f"{container}-2")
    labels = {"mist.installation": deployer.store.installation, "mist.app": str(second.id)}
    engine.run(container, SERVE, labels=labels)
    refused(app.name, f"belongs to the application {second.name}")
    engine.remove(container)
    engine.run(container, SERVE, labels=labels | {"mist.installation": "f" * 32})
    refused(app.name, "belongs to another installation")
    engine.remove(container)
    stranger = engine.run("a-stranger", SERVE)
    try:
        third = deployer.app(app.git_url or "", container=stranger[:6])
        refused(third.name, "there is no container")
    finally:
        engine.remove(stranger)
    assert deployer.deploy(app).status == "success"
    refused(app.name, f"a deployment of {app.name} created the container")
    refused(app.name, "unreachable", 69, MIST_ENGINE_HOST="unix:///nowhere")
    adopted = [deployer.store.apps.adopted(each.id) for each in (app, watched, second, third)]
    assert adopted == [None] * 4
