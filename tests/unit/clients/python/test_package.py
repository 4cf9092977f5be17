"""The wheel that programs install."""

from __future__ import annotations

import re
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

from mist_client import __version__

from tests.support.service.programs import run

SOURCE = Path(__file__).parents[4] / "clients/python"


def test_the_wheel_has_the_typed_package_and_nothing_else(tmp_path: Path) -> None:
    """With what it needs, and with the README as its description."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=SOURCE)
    [file] = tmp_path.glob(f"mist_client-{__version__}-*.whl")
    with ZipFile(file) as wheel:
        names = set(wheel.namelist())
        about = Parser().parsestr(
            wheel.read(f"mist_client-{__version__}.dist-info/METADATA").decode()
        )
    modules = {f"mist_client/{path.name}" for path in SOURCE.glob("src/mist_client/*.*")}
    assert "mist_client/py.typed" in modules
    assert {name for name in names if ".dist-info/" not in name} == modules
    needs = {re.split(r"[^\w-]", need)[0] for need in about.get_all("Requires-Dist", [])}
    assert needs == {"httpx2", "msgspec", "websockets"}
    assert str(about.get_payload()).startswith("# mist-client\n")
