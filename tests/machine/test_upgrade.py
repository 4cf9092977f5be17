"""An upgrade from the first version, and a trial after the installation."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

from tests.support.machine.machine import ROOT, Machine
from tests.support.machine.service import MIST, InstalledService
from tests.support.machine.trial import Trial
from tests.support.machine.visitor import ADMIN, Visitor

pytestmark = [pytest.mark.steps, pytest.mark.timeout(600)]

#: The last commit before services were tried on a fresh machine.
OLD: Final = "7cec6c423e"
#: Its unit does not run because of its system call filter, so the tests define a service.
OLD_SERVICE: Final = """
systemd-run --quiet --unit=old-mist --uid=mist --gid=mist --property=SupplementaryGroups=docker \
    --property=UMask=0007 --property=KillMode=mixed \
    --setenv=MIST_HOME=/var/lib/mist --setenv=MIST_RUNTIME=/run/mist /opt/mist/bin/mist up
"""
AS_OLD: Final = "runuser -u mist -- env MIST_HOME=/var/lib/mist MIST_RUNTIME=/run/mist"
ONE_TIME: Final = "journalctl --unit=old-mist --output=cat | sed -n 's/.*one-time password: //p'"
YOU: Final = ("a long password", "you@example.com")


@pytest.fixture(scope="module")
def you(machine: Machine) -> Visitor:
    """A user who is not an administrator."""
    return Visitor(machine)


@pytest.fixture(scope="module")
def old_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the old version."""
    archive = subprocess.run(
        ["git", "archive", OLD], cwd=ROOT, check=False, capture_output=True, timeout=60
    )
    assert archive.returncode == 0, f"the history is needed, a shallow clone will not do: {OLD}"
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def test_the_old_version_makes_data(
    machine: Machine, old_sources: Path, trial: Trial, sources: Path, visitor: Visitor, you: Visitor
) -> None:
    """The old version creates accounts, sessions, applications, a grant and a deployment."""
    trial.clone(sources)
    machine.copy_in(old_sources, "/root/old")
    machine.run("apt-get install -qy docker.io && make -C old install", 300)
    machine.run("/opt/mist/bin/pip install -q packaging", 120)
    visitor.install_client()
    visitor.make_image()
    visitor.run_container("steady", "--restart=always")
    visitor.serve_repository("shop", says="open")
    machine.run(OLD_SERVICE)
    visitor.wait_ready()
    visitor.log_in(machine.run(ONE_TIME).output.strip())
    machine.run(f"echo '{YOU[0]}' | {AS_OLD} {MIST} user add {YOU[1]} --password-stdin")
    machine.run(f"{AS_OLD} {MIST} app add steady --container steady")
    machine.run(f"{AS_OLD} {MIST} app add shop --git git://127.0.0.1/shop")
    machine.run(f"{AS_OLD} {MIST} app grant steady {YOU[1]}")
    you.log_in(*YOU)
    assert "'success'" in visitor.deploy("shop")
    machine.run("systemctl stop old-mist")


def test_data_and_sessions_survive_the_upgrade(
    machine: Machine, visitor: Visitor, you: Visitor
) -> None:
    """The commands of docs/operations.md keep the data, and old sessions stay valid."""
    machine.run("make -C mist install && systemctl enable --now mist.target", 300)
    visitor.wait_ready()
    assert ADMIN in visitor.request("GET", "/api/auth/me")
    assert YOU[1] in you.request("GET", "/api/auth/me")
    you.watch("steady")
    visitor.watch("shop", "open")
    visitor.watch_deployment(1)
    assert "'success'" in visitor.deploy("shop")
    assert not machine.run("ls /var/lib/mist | grep mist.db || true").output.strip()


def test_root_may_try_it_after_the_installation(
    machine: Machine, trial: Trial, service: InstalledService, visitor: Visitor
) -> None:
    """Files that root leaves behind break neither the trial nor the service, which runs again."""
    machine.run("systemctl stop mist.target mist-api mist-supervisor")
    assert "one-time password" not in trial.make_up(300)
    visitor.watch("steady")
    assert "Traceback" not in trial.interrupt()
    machine.run("systemctl start mist.target")
    service.wait_running()
    visitor.watch("steady")
    assert not machine.run("find /var/lib/mist /run/mist -user root").output.strip()
