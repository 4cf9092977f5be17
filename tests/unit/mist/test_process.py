"""Tests of how a child of the supervisor ends."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from mist import process
from mist.errors import Exit, SettingsError
from mist.paths import Paths
from mist.settings import Settings

COMM = Path("/proc/self/comm")

_CHILD = """
from mist import paths, process, settings
process.run("it.main:main", process.Assignment("metrics", 0, 1, False), settings.load({}), None)
"""


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("def main(*_): pass", Exit.OK, ""),
        ("import nowhere", Exit.SOFTWARE, "it.main:main cannot be loaded: No module named"),
        ("def main(*_): import nowhere", Exit.SOFTWARE, "cannot be loaded: No module named"),
        ("def main(", Exit.SOFTWARE, "cannot be loaded: '(' was never closed"),
        ("def main(*_): raise RuntimeError('a bug')", Exit.FAILURE, "RuntimeError: a bug"),
    ],
)
def test_how_a_child_ends(tmp_path: Path, text: str, status: Exit, words: str) -> None:
    """A module that cannot be loaded is not a crash, because a retry would not help."""
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "main.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    assert words in done.stderr
    assert ("Traceback" in done.stderr) == (status is Exit.FAILURE)


def test_the_file_limit_is_raised() -> None:
    """Children inherit it."""
    program = (
        "import resource, subprocess, sys\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "from mist import process\n"
        "process.raise_file_limit()\n"
        "print(hard, subprocess.check_output(['sh', '-c', 'ulimit -n'], text=True))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    hard, inherited = done.stdout.split()
    assert inherited == hard


class TestInThisProcess:
    """A child that runs in the process of the test."""

    @pytest.fixture(autouse=True)
    def restored(self) -> Iterator[None]:
        """Restore what a child changes in its process."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        handlers = {number: signal.getsignal(number) for number in numbers}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        comm, config = COMM.read_text().strip(), structlog.get_config()
        with structlog.contextvars.bound_contextvars(process=""):
            yield
        process.adopt_orphans(False)
        structlog.configure(**config)
        COMM.write_text(comm)
        gc.unfreeze()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def run(
        self,
        monkeypatch: pytest.MonkeyPatch,
        main: Callable[..., object],
        kind: process.ProcessKind = "metrics",
    ) -> object:
        """Run a child with this main function, and return its exit status."""
        module = types.ModuleType("it")
        vars(module)["main"] = main
        monkeypatch.setitem(sys.modules, "it", module)
        assignment = process.Assignment(kind, 3, 1, False)
        paths = Paths(Path("/nowhere"), Path("/nowhere"))
        with pytest.raises(SystemExit) as ending:
            process.run("it:main", assignment, Settings(), paths, "more")
        return ending.value.code

    def test_its_main_gets_the_arguments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process has the name of the assignment, and the terminal's ^C does not end it."""
        seen: list[object] = []

        def main(assignment: process.Assignment, *rest: object) -> None:
            seen.extend((assignment.name, COMM.read_text().strip(), rest[-1]))
            signal.raise_signal(signal.SIGINT)

        assert self.run(monkeypatch, main) == Exit.OK
        assert seen == ["metrics/3", "mist metrics/3", "more"]

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (SettingsError("log.level", "wrong"), SettingsError.exit_status),
            (ImportError("nowhere"), Exit.SOFTWARE),
            (RuntimeError("a bug"), Exit.FAILURE),
        ],
    )
    def test_its_error_has_a_status(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
    ) -> None:
        """A known error is told apart from a crash."""

        def main(*_: object) -> None:
            raise error

        assert self.run(monkeypatch, main) == status

    def test_sigterm_unwinds_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A signal that was blocked before the start is delivered, and the child cleans up."""
        cleaned: list[bool] = []

        def main(*_: object) -> None:
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                cleaned.append(True)

        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        assert self.run(monkeypatch, main) == Exit.OK
        assert cleaned == [True]

    @pytest.mark.parametrize("kind", ["deployment", "metrics"])
    def test_only_a_deployment_keeps_its_programs(
        self, monkeypatch: pytest.MonkeyPatch, kind: process.ProcessKind
    ) -> None:
        """An orphan below a deployment becomes its child."""
        found: list[bool] = []

        def main(*_: object) -> None:
            # The shell's background process writes its pid and ends at the end of its input.
            with subprocess.Popen(
                ["sh", "-c", "exec 3<&0; cat <&3 >/dev/null & echo $!"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as shell:
                assert shell.stdout is not None
                orphan = int(shell.stdout.readline())
                shell.wait(20)
                status = Path(f"/proc/{orphan}/stat").read_text()
                found.append(int(status.rpartition(")")[2].split()[1]) == os.getpid())
            if found[0]:
                os.waitpid(orphan, 0)

        assert self.run(monkeypatch, main, kind) == Exit.OK
        assert found == [kind == "deployment"]


def test_a_process_ends_with_its_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the pipe ends the process with the status of a temporary failure."""
    statuses: list[int] = []
    ended = threading.Event()

    def leave(status: int) -> None:
        statuses.append(status)
        ended.set()

    reading, writing = os.pipe()
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(process, "parent_process", lambda: types.SimpleNamespace(sentinel=reading))
    process.die_with_parent()
    assert not ended.is_set()
    os.close(writing)
    assert ended.wait(20)
    os.close(reading)
    assert statuses == [Exit.TEMPORARY]


def test_the_soft_limit_of_files_becomes_the_hard_one() -> None:
    """Shells set a soft limit of 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard) - 1, hard))
        process.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_socket_is_for_this_user_alone(tmp_path: Path) -> None:
    """No other user can connect before the mode is set, and the mask is restored."""
    with process.for_this_user_alone(), socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    mask = os.umask(0)
    os.umask(mask)
    assert mask != 0o177
