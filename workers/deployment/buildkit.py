"""After a failed build, name what in the Dockerfile the engine's own builder cannot do.

The builder's own errors are of little help: it takes the text of a here-document for an
instruction, and an argument that only BuildKit sets for an empty platform.  No Dockerfile
is refused for these features alone, because the builder accepts some of them.
"""

from __future__ import annotations

import re
from typing import Final

from workers.deployment.dockerfile import instructions
from workers.deployment.errors import BuildFailed

_FEATURES: Final = (
    # A word of its own, unlike the "<<" of arithmetic and the "<<<" of a here-string.
    (
        "a here-document",
        re.compile(r"^[ \t]*(?:RUN|COPY|ADD)\b.*(?<!\S)\d*<<-?[\"']?\w", re.I | re.M),
    ),
    # The builder itself knows only these flags, and BuildKit gets new ones.
    (
        "{}",
        re.compile(
            r"^[ \t]*(?:COPY|ADD|RUN)[ \t]+(?:--\S+[ \t]+)*(--(?!(?:from|chown)\b)[a-z][a-z-]*)",
            re.I | re.M,
        ),
    ),
    ("${}", re.compile(r"\$\{?((?:BUILD|TARGET)(?:PLATFORM|OS|ARCH|VARIANT))\b")),
)
# A BuildKit frontend.  Many Dockerfiles that need no BuildKit name one, so it is mentioned
# only when no command failed.
_SYNTAX: Final = re.compile(r"\ufeff?(?:#[^\n]*\n)*#[ \t]*syntax[ \t]*=", re.I)


def explain(error: BuildFailed, dockerfile: str) -> BuildFailed:
    """Return the failure with the BuildKit features that the Dockerfile uses, if any."""
    # The builder has named BuildKit itself.
    if "buildkit" in error.reason.lower():
        return error
    text = instructions(dockerfile)
    found = []
    for name, pattern in _FEATURES:
        if match := pattern.search(text):
            found.append(name.format(*match.groups()))
    # An exit status means that a command ran, so the syntax was understood.
    if error.code is None and _SYNTAX.match(dockerfile):
        found.append("a syntax directive")
    if not found:
        return error
    reason = error.reason if error.code is None else f"exit code {error.code}"
    return BuildFailed(
        f"{reason} (the Dockerfile uses {', '.join(found)}, which may need BuildKit; "
        "images are built without BuildKit)"
    )
