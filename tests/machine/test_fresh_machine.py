"""What the README and docs/operations.md promise, on a fresh machine, from first to last."""

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
    """With the packages that the README names, and no others."""
    trial.clone(sources)


def test_make_up_is_ready_within_five_minutes(trial: Trial) -> None:
    """It prints the one-time password, and nothing that looks like a crash."""
    output = trial.make_up(300)
    assert trial.password, output
    assert "Traceback" not in output


def test_the_page_is_served(machine: Machine, visitor: Visitor) -> None:
    """`make up` has built it with a Node from PyPI: the machine has none of its own."""
    assert machine.run("command -v node", check=False).status != 0
    visitor.open_page()


def test_the_tour(trial: Trial, visitor: Visitor) -> None:
    """Each command works as it is printed, against the engine that `make up` installed."""
    visitor.make_image()
    reader = Reader(trial)
    for command in tour():
        reader.run(command.replace("the one-time password", trial.password))


def test_an_interrupt_leaves_nothing(trial: Trial) -> None:
    """^C in the terminal ends every process, without a traceback."""
    assert "Traceback" not in trial.interrupt()


def test_a_second_time_is_quick(trial: Trial, visitor: Visitor) -> None:
    """Nothing is installed again, and the accounts are those of the first time."""
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
    """With the commands of docs/operations.md; the accounts of the trial are there."""
    service.install()
    visitor.log_in(trial.password)
    visitor.open_page()


def test_a_container_is_watched(machine: Machine, visitor: Visitor) -> None:
    """By a WebSocket client that nobody here wrote."""
    visitor.install_client()
    visitor.run_container("steady", "--restart=always")
    machine.run(f"{MIST} app add steady --container steady")
    visitor.watch("steady")


def test_a_deployment_succeeds(machine: Machine, visitor: Visitor) -> None:
    """From a repository that the service reaches over the network."""
    visitor.serve_repository("shop", says="open")
    machine.run(f"{MIST} app add shop --git git://127.0.0.1/shop")
    ended = visitor.deploy("shop")
    assert "'success'" in ended
    visitor.watch("shop", "open")


def test_root_may_use_the_command_while_the_service_runs(
    machine: Machine, trial: Trial, visitor: Visitor
) -> None:
    """The account that it adds can log in, and the service can go on writing."""
    add = f"{MIST} user add you@example.com --password-stdin"
    machine.run(f"echo 'a long password' | {add}")
    machine.run(f"{MIST} app grant steady you@example.com && {MIST} status && {MIST} doctor")
    you = Visitor(machine)
    you.log_in("a long password", "you@example.com")
    you.watch("steady")
    visitor.log_in(trial.password)


def test_nothing_in_the_journal_looks_like_a_crash(service: InstalledService) -> None:
    """Neither unit was restarted, and neither complains."""
    assert service.restarts() == ["0", "0"]
    assert not service.crashes()


@pytest.mark.parametrize("sandboxed", [True, False])
def test_the_web_tier_has_no_way_to_the_engine(sandboxed: bool, service: InstalledService) -> None:
    """Neither in its unit nor outside of it can its user do what the supervisor does."""
    found = service.attack(sandboxed=sandboxed)
    database = re.compile(r"writable /var/lib/mist/store(/mist\.db(-shm|-wal)?)?")
    open_ways = [each for each in found if not database.fullmatch(each)]
    assert not open_ways, "\n".join(open_ways)


@pytest.mark.parametrize(
    ("event", "units"),
    [
        ("systemctl restart mist.target", UNITS),
        ("systemctl restart mist-supervisor", UNITS[:1]),
        ("systemctl reload mist-api", UNITS[1:]),
        ("systemctl kill --kill-whom=main --signal=KILL mist-supervisor", UNITS[:1]),
        ("systemctl kill --kill-whom=main --signal=KILL mist-api", UNITS[1:]),
    ],
)
def test_it_comes_back(
    event: str, units: list[str], machine: Machine, service: InstalledService, visitor: Visitor
) -> None:
    """Other processes serve, and the container is watched as before."""
    before = [service.processes(unit) for unit in units]
    machine.run(event)

    def replaced() -> bool:
        # In a reload the old worker serves beside the new one, and closes its streams then.
        pairs = [(old, service.processes(unit)) for old, unit in zip(before, units, strict=True)]
        return all(old - now and now - old for old, now in pairs)

    wait_until(replaced, "other processes", 60)
    service.wait_running()
    visitor.watch("steady")


def test_it_comes_back_after_a_reboot(
    machine: Machine, service: InstalledService, visitor: Visitor
) -> None:
    """The session goes on, the machine went down and came up without a complaint."""
    assert service.restarts() == ["1", "1"]
    machine.reboot()
    service.wait_running()
    visitor.watch("steady")
    assert "timed out" not in service.crashes(boot=-1)
    assert not service.crashes()


def test_stopping_leaves_nothing(machine: Machine, service: InstalledService) -> None:
    """No process of either user, no socket, no port."""
    machine.run("systemctl stop mist.target")
    # A target has stopped before what it started has.
    wait_until(lambda: not service.left(), "everything to end", 60)
    assert service.restarts() == ["0", "0"]
    assert not service.crashes()
