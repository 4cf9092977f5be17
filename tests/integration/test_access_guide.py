"""The commands of ``docs/access.md``, run as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import MakeService
from tests.support.service.engine import PrivateEngine

pytestmark = pytest.mark.engine

PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text("utf-8")


def test_the_guide_to_access(
    engine: PrivateEngine, make_service: MakeService, tmp_path: Path
) -> None:
    """Each command succeeds, and they do what the page says."""
    service = make_service(engine)
    script = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL))
    # The repository is not there, so the deployment of the push fails at once.
    script = script.replace("https://git.example.com", f"file://{tmp_path}")
    script = script.replace("127.0.0.1:8420", f"127.0.0.1:{service.port}")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**service.environment, "HOME": str(tmp_path), "PATH": path}
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "anna@example.com may now see shop",
        '"right":"deployer"',
        "Deployment of main queued",
        "Changed shop: labels, memory",
        '"action":"mist app edit"',
        "Revoked the token 1",
        "Withdrew the grant of anna@example.com for shop",
        "Removed anna@example.com",
    ):
        assert said in done.stdout, f"{said!r} is not in\n{done.stdout}\n{done.stderr}"
