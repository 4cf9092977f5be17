"""A fresh Debian 12 for each module, whose tests are consecutive steps."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machine import host
from tests.support.machine.machine import ROOT, Machine
from tests.support.machine.service import InstalledService
from tests.support.machine.trial import Trial
from tests.support.machine.visitor import Visitor

_FAILED = pytest.StashKey[str]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder if no machine can boot here; in CI, abort the run."""
    items = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    try:
        host.require()
    except host.MachineMissing as error:
        if items and os.environ.get("CI"):
            raise pytest.UsageError(str(error)) from None
        for item in items:
            item.add_marker(pytest.mark.skip(reason=str(error)))


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Record the first step of a module that failed."""
    if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        _module(item).stash.setdefault(_FAILED, item.name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the steps after a failed one, because they would fail as well."""
    failed = _module(item).stash.get(_FAILED, None)
    if failed is not None and item.get_closest_marker("steps"):
        pytest.skip(f"{failed} failed")


def _module(item: pytest.Item) -> pytest.Module:
    module = item.getparent(pytest.Module)
    assert module is not None
    return module


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A newly installed machine."""
    with Machine() as machine:
        yield machine


@pytest.fixture(scope="module")
def visitor(machine: Machine) -> Visitor:
    """A user with a browser."""
    return Visitor(machine)


@pytest.fixture(scope="module")
def trial(machine: Machine) -> Iterator[Trial]:
    """A trial of the service as root."""
    trial = Trial(machine)
    yield trial
    trial.close()


@pytest.fixture(scope="module")
def service(machine: Machine) -> InstalledService:
    """The installed service."""
    return InstalledService(machine)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the files under test, including uncommitted changes."""
    repository = tmp_path_factory.mktemp("sources") / "mist"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, timeout=60).stdout
    copy = ["tar", "--create", "--null", "--files-from=-", "--ignore-failed-read"]
    archive = subprocess.run(
        copy, cwd=ROOT, input=files, check=True, capture_output=True, timeout=60
    ).stdout
    repository.mkdir()
    subprocess.run(["tar", "--extract"], cwd=repository, input=archive, check=True, timeout=60)
    commit = ["git", "-c", "user.name=Tests", "-c", "user.email=tests@localhost"]
    commit += ["-c", "commit.gpgsign=false", "commit", "--quiet", "--message=Tree"]
    for command in (["git", "init", "--quiet"], ["git", "add", "--all"], commit):
        subprocess.run(command, cwd=repository, check=True, timeout=60)
    return repository
