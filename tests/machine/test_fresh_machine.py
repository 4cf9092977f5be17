"""The promises of the README and docs/operations.md, tested in order on a fresh machine."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.support.machine.machine import Machine
from tests.support.machine.service import MIST, UNITS, InstalledService
from tests.support.machine.trial import Trial
from tests.support.machine.visitor import Visitor
from tests.support.service.readme import Reader, tour
from tests.support.wait import wait_until

pytestmark = [pytest.mark.steps, pytest.mark.timeout(600)]


# --------------------------------------------------------------------- the README


def test_the_sources_are_cloned(trial: Trial, sources: Path) -> None:
    """The packages that the README names are enough."""
    trial.clone(sources)


def test_make_up_is_ready_within_five_minutes(trial: Trial) -> None:
    """The output has the one-time password and nothing that looks like a crash."""
    output = trial.make_up(300)
    assert trial.password, output
    assert "Traceback" not in output


def test_the_page_is_served(machine: Machine, visitor: Visitor) -> None:
    """`make up` has built the page with a Node from PyPI, because the machine has none."""
    assert machine.run("command -v node", check=False).status != 0
    visitor.open_page()


def test_the_tour(trial: Trial, visitor: Visitor) -> None:
    """Each command works as printed, with the engine that `make up` installed."""
    visitor.make_image()
    reader = Reader(trial)
    for command in tour():
        reader.run(command)


def test_an_interrupt_leaves_nothing(trial: Trial) -> None:
    """^C in the terminal ends every process without a traceback."""
    assert "Traceback" not in trial.interrupt()


def test_a_second_time_is_quick(trial: Trial, visitor: Visitor) -> None:
    """The second `make up` installs nothing and keeps the accounts."""
    began = time.monotonic()
    output = trial.make_up()
    assert time.monotonic() - began < 30
    assert "one-time password" not in output
    visitor.log_in(trial.password)
    assert "Traceback" not in trial.interrupt()


# -------------------------------------------------------------------- the service


def test_the_service_starts_where_root_has_tried_it(
    trial: Trial, service: InstalledService, visitor: Visitor
) -> None:
    """The commands of docs/operations.md work, and the trial's accounts are kept."""
    service.install()
    visitor.log_in(trial.password)
    visitor.open_page()


def test_a_container_is_watched(machine: Machine, visitor: Visitor) -> None:
    """A third-party WebSocket client receives the container's log."""
    visitor.install_client()
    visitor.run_container("steady", "--restart=always")
    machine.run(f"{MIST} app add steady --container steady")
    visitor.watch("steady")


def test_all_web_workers_are_measured(machine: Machine) -> None:
    """The web tier's user can add up its workers, and sees the supervisor's report."""
    shown = machine.run("curl -fsS http://127.0.0.1:8420/metrics").output
    assert 'mist_processes{kind="broker",state="running"} 1.0' in shown
    assert "mist_live_clients" in shown
    machine.run("ls /run/mist-api/*_*.db")


def test_the_command_from_afar(machine: Machine) -> None:
    """The web tier's user gets the supervisor's table, and needs no other way to it."""
    token = machine.run(f"{MIST} token add afar 2>/dev/null").output.strip()
    afar = f"env MIST_HOME=/proc/none MIST_RUNTIME=/proc/none MIST_TOKEN={token}"
    shown = machine.run(f"cd / && {afar} {MIST} status --url http://127.0.0.1:8420").output
    assert re.search(r"broker +\d+ +running", shown), shown


def test_a_deployment_succeeds(machine: Machine, visitor: Visitor) -> None:
    """The service deploys from a repository that it reaches over the network."""
    visitor.serve_repository("shop", says="open")
    machine.run(f"{MIST} app add shop --git git://127.0.0.1/shop")
    ended = visitor.deploy("shop")
    assert "'success'" in ended
    visitor.watch("shop", "open")


def test_root_may_use_the_command_while_the_service_runs(
    machine: Machine, trial: Trial, visitor: Visitor
) -> None:
    """Root can add an account, which can log in, and the service can still write."""
    add = f"{MIST} user add you@example.com --password-stdin"
    machine.run(f"echo 'a long password' | {add}")
    machine.run(f"{MIST} app grant steady you@example.com && {MIST} status && {MIST} doctor")
    you = Visitor(machine)
    you.log_in("a long password", "you@example.com")
    you.watch("steady")
    visitor.log_in(trial.password)


def test_a_user_of_taps(machine: Machine) -> None:
    """A member of mist-tap reads the bus, and neither the secret, the store nor the settings."""
    machine.run("useradd --create-home --groups mist-tap watcher")
    as_watcher = "cd / && setpriv --reuid=watcher --regid=watcher --init-groups"
    home = "env MIST_HOME=/var/lib/mist MIST_RUNTIME=/run/mist"
    assert "cpu" in machine.run(f"{as_watcher} {home} {MIST} top --once").output.lower()
    for path in ("/var/lib/mist/secret", "/var/lib/mist/store/mist.db", "/etc/mist/mist.toml"):
        refused = machine.run(f"{as_watcher} cat {path}", check=False)
        assert "Permission denied" in refused.output
    machine.run("userdel --remove watcher")


def test_nothing_in_the_journal_looks_like_a_crash(service: InstalledService) -> None:
    """Neither unit was restarted or has logged errors."""
    assert service.restarts() == ["0", "0"]
    assert not service.crashes()


@pytest.mark.parametrize("sandboxed", [True, False])
def test_the_web_tier_has_no_way_to_the_engine(sandboxed: bool, service: InstalledService) -> None:
    """The web tier's user cannot do what the supervisor does, inside its unit or outside."""
    found = service.attack(sandboxed=sandboxed)
    own = re.compile(r"writable (/var/lib/mist/store(/mist\.db(-shm|-wal)?)?|/run/mist-api(/.*)?)")
    open_ways = [each for each in found if not own.fullmatch(each)]
    assert not open_ways, "\n".join(open_ways)


@pytest.mark.parametrize(
    ("event", "units"),
    [
        ("systemctl restart mist.target", UNITS),
        ("systemctl restart mist-supervisor", UNITS[:1]),
        ("systemctl reload mist-api", UNITS[1:]),
        ("systemctl kill --kill-whom=main --signal=KILL mist-supervisor", UNITS[:1]),
        ("systemctl kill --kill-whom=main --signal=KILL mist-api", UNITS[1:]),
        ("systemctl kill --kill-whom=main --signal=STOP mist-supervisor", UNITS[:1]),
        ("systemctl kill --kill-whom=main --signal=STOP mist-api", UNITS[1:]),
    ],
)
def test_it_comes_back(
    event: str, units: list[str], machine: Machine, service: InstalledService, visitor: Visitor
) -> None:
    """New processes serve, and the container is watched as before."""
    before = [service.processes(unit) for unit in units]
    machine.run(event)

    def replaced() -> bool:
        # During a reload the old worker serves along with the new one, and then closes its streams.
        pairs = [(old, service.processes(unit)) for old, unit in zip(before, units, strict=True)]
        return all(old - now and now - old for old, now in pairs)

    wait_until(replaced, "other processes", 60)
    service.wait_running()
    visitor.watch("steady")


def test_it_comes_back_after_a_reboot(
    machine: Machine, service: InstalledService, visitor: Visitor
) -> None:
    """After a clean reboot the session is still valid."""
    assert service.restarts() == ["2", "2"]  # once killed, once hung
    machine.reboot()
    service.wait_running()
    visitor.watch("steady")
    assert "timed out" not in service.crashes(boot=-1)
    assert not service.crashes()


def test_stopping_leaves_nothing(machine: Machine, service: InstalledService) -> None:
    """No process of either user, no socket and no open port is left."""
    machine.run("systemctl stop mist.target")
    # systemd reports a target as stopped before the units it started have stopped.
    wait_until(lambda: not service.left(), "everything to end", 60)
    assert service.restarts() == ["0", "0"]
    assert not service.crashes()
