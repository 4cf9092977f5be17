"""Tests of the name under which a command records what it does."""

from __future__ import annotations

import getpass
import os
from unittest.mock import Mock

import pytest

from cli.state import user_name


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number stands for it; Python 3.13 raises another error than earlier versions."""
    for error in (KeyError("getpwuid(): uid not found: 54321"), OSError("No username set")):
        monkeypatch.setattr(getpass, "getuser", Mock(side_effect=error))
        assert user_name() == str(os.getuid())


def test_a_name_that_is_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made visible, because neither the store nor a request could hold it."""
    monkeypatch.setenv("LOGNAME", "\udcff")
    assert user_name() == r"\udcff"
