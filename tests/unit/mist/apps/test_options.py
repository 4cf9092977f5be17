"""Tests of the checks of container options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mist.apps import options
from mist.apps.options import BuildChanges, Volume
from mist.errors import UsageError
from mist.store import BuildLimits, ContainerOptions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data:/data", Volume("data", "/data", False)),
        ("data:/data/:ro", Volume("data", "/data", True)),
        ("data:/a//b:rw", Volume("data", "/a/b", False)),
        ("/srv/data:/data", Volume("/srv/data", "/data", False)),
        ("/srv/data/in/:/data:ro", Volume("/srv/data/in", "/data", True)),
        ("//srv/data:/data", Volume("/srv/data", "/data", False)),
    ],
)
def test_a_volume_is_parsed(text: str, expected: Volume) -> None:
    """A volume is a name or an allowed path of the host, and a path of the container."""
    assert options.volume(text, ("/srv/data/",)) == expected
    assert options.volume(str(expected), ("/srv/data",)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data", "the form NAME:/path"),
        ("data:/a:ro:x", "the form NAME:/path"),
        ("data:/a:z", "the form NAME:/path"),
        ("", "the form NAME:/path"),
        ("data:a", "an absolute path"),
        ("data:/a/../etc", "without '..'"),
        ("data:/a\nb", "an absolute path"),
        ("data:/", "hide the container's own files"),
        ("data://", "hide the container's own files"),
        ("x:/a", "not a volume name"),
        ("a b:/a", "not a volume name"),
        ("./data:/a", "not a volume name"),
        (":/a", "not a volume name"),
        ("/etc:/a", "'/etc' of the host is not allowed"),
        ("/srv/database:/a", "not allowed"),
        ("/srv:/a", "not allowed"),
        ("/:/a", "not allowed"),
        ("/srv/data/../../etc:/a", "without '..'"),
    ],
)
def test_a_volume_that_is_refused(text: str, words: str) -> None:
    """A refused volume is named with what to do."""
    with pytest.raises(UsageError, match=words):
        options.volume(text, ("/srv/data",))


def test_no_path_of_the_host_is_allowed_by_default() -> None:
    """Without a setting there are named volumes only; the prefix / allows every path."""
    with pytest.raises(UsageError, match=r"deployments\.host_paths"):
        options.volumes(["/srv/data:/a"], ())
    assert options.volumes(["/etc:/a"], ("/",)) == ("/etc:/a",)


def test_a_path_has_one_volume() -> None:
    """Two volumes cannot have the same path, however it is written."""
    with pytest.raises(UsageError, match="two volumes have the path '/a'"):
        options.volumes(["one:/a", "two:/a/"], ())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (6_291_456, 6_291_456),
        ("6m", 6_291_456),
        ("512M", 536_870_912),
        ("1.5g", 1_610_612_736),
        ("1GB", 1_073_741_824),
        ("8388608b", 8_388_608),
    ],
)
def test_a_size_of_memory(value: int | str, expected: int) -> None:
    """A size is a number of bytes, or has a unit as in docker."""
    assert options.memory(value) == expected


@pytest.mark.parametrize(
    "value", [0, -1, 6_291_455, 2**54, "", "5m", "lots", "1e9", "-6m", "9" * 400, "1p", "१g"]
)
def test_a_size_that_is_refused(value: int | str) -> None:
    """A size that the engine would refuse, or that is none, is named."""
    with pytest.raises(UsageError, match="at least 6m"):
        options.memory(value)


@pytest.mark.parametrize("value", [0, -1, 0.001, 1e9, float("nan"), float("inf")])
def test_a_number_of_processors_that_is_refused(value: float) -> None:
    """The limit of processors is a positive number."""
    with pytest.raises(UsageError, match=r"from 0\.01 to 10000"):
        options.cpus(value)


@pytest.mark.parametrize(
    ("check", "value", "words"),
    [
        (options.labels, {"": "x"}, "is not a label"),
        (options.labels, {"a b": "x"}, "is not a label"),
        (options.labels, {"a=b": "x"}, "is not a label"),
        (options.labels, {"mist.app": "1"}, "is reserved"),
        (options.labels, {"a": "\x00"}, "NUL"),
        (options.labels, {"a": "x" * 70_000}, "65536 bytes"),
        (options.networks, ["host"], "deployments.network may share"),
        (options.networks, ["container:db"], "not the name of a network"),
        (options.networks, ["a", "a"], "named twice"),
        (options.networks, [""], "not the name of a network"),
        (options.command, "", "is empty"),
        (options.command, [], "is empty"),
        (options.command, "sh -c 'x", "cannot be split"),
        (options.command, ["a\x00"], "NUL"),
    ],
)
def test_other_values_that_are_refused(check: Callable[[Any], Any], value: Any, words: str) -> None:
    """Labels, networks and commands are checked when they are set."""
    with pytest.raises(UsageError, match=words):
        check(value)


def test_a_command_is_split_as_a_shell_does() -> None:
    """A text is split into words; a list stays as it is."""
    assert options.command("sh -c 'echo $HOME'") == ("sh", "-c", "echo $HOME")
    assert options.command(["a b", ""]) == ("a b", "")


def test_a_change_keeps_what_it_does_not_name() -> None:
    """Labels and limits of builds are merged, None removes, and other fields are replaced."""
    before = ContainerOptions(
        volumes=("a:/a",), labels={"x": "1", "y": "2"}, build=BuildLimits(2**23, 1.0)
    )
    given = {
        "labels": {"x": None, "z": "3"},
        "build": BuildChanges(cpus=None),
        "volumes": None,
        "memory": "8m",
    }
    assert options.changed(before, given, ()) == ContainerOptions(
        labels={"y": "2", "z": "3"}, build=BuildLimits(2**23), memory=2**23
    )
