"""Tests of the features of a Dockerfile that only BuildKit has."""

from __future__ import annotations

import pytest

from workers.deployment import buildkit
from workers.deployment.errors import BuildFailed


@pytest.mark.parametrize(
    ("dockerfile", "named"),
    [
        ("FROM x\nCOPY \\\n  --link a /", "--link"),
        ("FROM x\nRUN set -e; \\\n  cat <<EOF\nhello\nEOF", "a here-document"),
        ("FROM x\nCOPY <<-'a' 3<<\"b\" /\na\nb", "a here-document"),
        ("FROM x\nADD --unpack=true a /", "--unpack"),
        ("FROM x\nRUN --device=x true", "--device"),
        ("FROM x\nCOPY --from=y --exclude=*.o a /", "--exclude"),
        ("# escape=`\nFROM x\nCOPY `\n --chmod=1 a /", "--chmod"),
        ("\ufeff# syntax=docker/dockerfile:1\nFROM x", "a syntax directive"),
    ],
)
def test_names_what_needs_buildkit(dockerfile: str, named: str) -> None:
    """The error names the feature, however the instruction is written."""
    explained = buildkit.explain(BuildFailed("parse error", None), dockerfile)
    assert f"the Dockerfile uses {named}, which may need BuildKit" in str(explained)


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM x\nRUN test $((1<<3)) -eq 9",
        "FROM x\nRUN cat <<<word",
        "FROM x\nRUN ls # --mount\n# COPY --link a /\n",
        "FROM x\nCOPY --chown=1 --from=y a /\nHEALTHCHECK --interval=1s CMD x",
    ],
)
def test_blames_nothing_else(dockerfile: str) -> None:
    """Shifts, here-strings, comments and flags of the engine's own builder are not BuildKit's."""
    error = BuildFailed("failed", 1)
    assert buildkit.explain(error, dockerfile) is error
