"""Tests of the lines that name what a build has left."""

from __future__ import annotations

from workers.deployment.leftovers import Leftovers, named_in

LOG = """\
Step 1/4 : FROM busybox
 ---> 111111111111
Step 2/4 : RUN one
 ---> Using cache
 ---> 222222222222
Step 3/4 : RUN two
 ---> Running in aaaaaaaaaaaa
some output ---> 999999999999
Removing intermediate container aaaaaaaaaaaa
 ---> 333333333333
Step 4/4 : RUN three
 ---> Running in bbbbbbbbbbbb
"""


def test_only_what_the_build_made_is_named() -> None:
    """The base image and cached images are not the build's own."""
    assert named_in(LOG.splitlines()) == Leftovers(
        ["aaaaaaaaaaaa", "bbbbbbbbbbbb"], ["333333333333"], ["111111111111", "222222222222"]
    )


def test_a_flood_of_lines_is_bounded() -> None:
    """A step can print any number of such lines."""
    lines = (f" ---> Running in {number:012x}" for number in range(100_000))
    assert len(named_in(lines).containers) == 1_000


def test_a_log_without_a_build() -> None:
    """A deployment that never built has left nothing."""
    assert named_in(["Cloning …", "Step 1/x"]) == Leftovers([], [], [])
