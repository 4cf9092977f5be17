"""Deployments that fail on a real engine and leave the old container as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mist.store.records import App
from tests.support.service.deployment_checks import (
    add_deep_file,
    change,
    check_clean,
    check_log,
    container_id,
    failed,
)
from tests.support.service.deployments import Deployer, dockerfile
from tests.support.service.engine import IMAGE
from tests.support.service.programs import run


class TestFailure:
    """A deployment that fails leaves the old container as it was."""

    @pytest.fixture(autouse=True)
    def untouched(self, deployer: Deployer, old: tuple[App, str]) -> Iterator[None]:
        """Check after each test that the old container runs and nothing else is left."""
        yield
        app, before = old
        assert container_id(deployer, app.container) == before
        check_clean(deployer, app, containers=1)

    def test_failing_build_step(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The error contains the exit code."""
        change(deployer, dockerfile("RUN echo about to fail; exit 7"))
        row = deployer.deploy(old[0])
        failed(deployer, row, "^Docker build failed: exit code 7$")
        assert "about to fail" in deployer.text(row.id)

    def test_broken_dockerfile(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The error is the engine's message."""
        change(deployer, "NONSENSE here\n")
        failed(deployer, deployer.deploy(old[0]), "Docker build failed: .*unknown instruction")

    @pytest.mark.parametrize(
        ("steps", "named"),
        [
            (["RUN <<EOF", "echo hi", "EOF"], "here-document"),
            (["COPY <<EOF /a", "hi", "EOF"], "here-document"),
            (["COPY --link Dockerfile /a"], "--link"),
            (["RUN --mount=type=cache,target=/a true"], "--mount"),
            (["FROM --platform=$BUILDPLATFORM x"], "BUILDPLATFORM"),
        ],
    )
    def test_names_buildkit(
        self, deployer: Deployer, old: tuple[App, str], steps: list[str], named: str
    ) -> None:
        """The error names BuildKit if the Dockerfile needs it."""
        change(deployer, dockerfile(*steps))
        failed(deployer, deployer.deploy(old[0]), f"{named}.*BuildKit")

    def test_missing_dockerfile(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The error names the missing file."""
        app = deployer.app(f"file://{deployer.directory}/repo", dockerfile="Dockerfile.prod")
        failed(deployer, deployer.deploy(app), "no Dockerfile 'Dockerfile.prod'")

    def test_missing_branch(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The error is Git's message."""
        app = deployer.app(f"file://{deployer.directory}/repo", branch="nowhere")
        failed(deployer, deployer.deploy(app), "Git clone failed: Remote branch nowhere not found")

    def test_missing_repository(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The error is Git's message without the credentials in the address."""
        app = deployer.app("http://joe:pass-word@127.0.0.1:9/x.git")
        row = deployer.deploy(app)
        failed(deployer, row, "Git clone failed: ")
        assert b"pass-word" not in deployer.paths.deployment_log(row.id).read_bytes()
        assert "pass-word" not in row.error_message

    def test_repository_that_does_not_answer(
        self, deployer: Deployer, old: tuple[App, str], silent_server: str
    ) -> None:
        """A fetch is abandoned after the time in the settings."""
        deployer.limits["clone_seconds"] = 0.8
        row = deployer.deploy(deployer.app(silent_server))
        failed(deployer, row, "Cloning the Git repository: gave up after 0.8 seconds")

    def test_repository_that_is_too_large(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The size of the build context is bounded."""
        (deployer.directory / "repo/large").write_bytes(b"x" * 100_000)
        run("git", "add", "large", cwd=deployer.directory / "repo")
        change(deployer, dockerfile("COPY large /"))
        deployer.limits["context_bytes"] = 65_536
        failed(deployer, deployer.deploy(old[0]), "larger than 65536 bytes")

    def test_repository_with_very_deep_directories(
        self, deployer: Deployer, old: tuple[App, str]
    ) -> None:
        """The depth of a checkout is bounded, and nothing of it is left."""
        add_deep_file(deployer, 1_500)
        deployer.limits["checkout_path_bytes"] = 4_000
        row = deployer.deploy(old[0])
        failed(deployer, row, "more than 100 directories.*checkout_depth")
        assert not deployer.paths.work_folder(row.id).exists()

    def test_container_that_exits_at_once(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The log has the new container's last lines, and the old container is restored."""
        change(deployer, dockerfile(run="echo cannot find my settings; exit 3"))
        row = deployer.deploy(old[0])
        failed(deployer, row, "exited with status 3")
        assert "cannot find my settings" in deployer.text(row.id)
        assert "serving" in deployer.engine.lines(old[0].container)

    def test_container_that_is_unhealthy(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """A failing HEALTHCHECK fails the deployment."""
        change(deployer, dockerfile("HEALTHCHECK --interval=1s --retries=1 CMD false"))
        failed(deployer, deployer.deploy(old[0]), "unhealthy")

    def test_container_that_cannot_start(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The error is the engine's message."""
        change(deployer, f'FROM {IMAGE}\nCMD ["/no/such/program"]\n')
        failed(deployer, deployer.deploy(old[0]), "The Docker Engine refused: .*no such file")

    def test_disk_full_for_the_log(self, deployer: Deployer, old: tuple[App, str]) -> None:
        """The deployment fails and the store says why; the log keeps what it had."""
        deployer.limits["disk_reserve_bytes"] = 1_024
        folder = deployer.paths.home / "disk"
        folder.mkdir()
        change(deployer, dockerfile("RUN seq 1 40000"))
        run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
        # Log and checkout share a disk: removing the checkout makes room for the last status.
        for name in ("deployments", "work"):
            (folder / name).mkdir()
            (deployer.paths.home / name).symlink_to(folder / name)
        try:
            row = deployer.deploy(old[0])
            assert row.status == "failed"
            assert "log cannot be written" in row.error_message
            assert "No space left" in row.error_message
            check_log(deployer, row)
        finally:
            run("umount", "--lazy", folder)


def test_very_deep_directories_that_are_allowed(deployer: Deployer, old: tuple[App, str]) -> None:
    """A checkout deeper than Python's stack is built, and removed."""
    add_deep_file(deployer, 1_500)
    deployer.limits |= {"checkout_path_bytes": 4_000, "checkout_depth": 2_000}
    row = deployer.deploy(old[0])
    assert row.status == "success", row.error_message
    assert not deployer.paths.work_folder(row.id).exists()
