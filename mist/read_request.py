"""The protocol between the web tier, the supervisor and a reader of older log lines.

The web tier sends the supervisor one datagram: a ReadRequest, and one end of a pair of
Unix stream sockets.  The supervisor passes that end to a new reader, or answers itself
that there will be none.  The answer consists of frames: a length of four bytes in network
order, then as many bytes.  The first frame is a Head, the others are the HTTP body.  A
frame of length 0 ends the answer; without it, the answer was broken off.
"""

from __future__ import annotations

from struct import Struct
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from mist.ids import MAX_ID
from mist.messages import Stream

LENGTH: Final = Struct("!I")

Order = Literal["asc", "desc"]
Format = Literal["ndjson", "text"]

_Timestamp = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z\Z")]
_Count = Annotated[int, Meta(ge=0, le=MAX_ID)]


class ReadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The lines to read, and the form in which to answer.

    Either ``app_id`` or ``container`` is set.  The range is half-open: a line at ``since``
    belongs to it, a line at ``until`` does not.  ``tail`` is the number of the range's last
    lines; ``q``, ``stream`` and ``limit`` choose among those.
    """

    user: Annotated[str, Meta(min_length=1, max_length=320)]
    """The user for whom the web tier asks, for the limit per user."""
    app_id: Annotated[int, Meta(ge=1, le=MAX_ID)] | None = None
    container: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    since: _Timestamp | None = None
    until: _Timestamp | None = None
    tail: _Count | None = None
    q: str = ""
    regex: bool = False
    case: bool = False
    invert: bool = False
    stream: Stream | None = None
    order: Order = "asc"
    limit: Annotated[int, Meta(ge=1, le=MAX_ID)] | None = None
    format: Format = "ndjson"
    timestamps: bool = False
    seam: bool = False
    """Read the range as one piece of the log: a deployment's two containers may have run at once,
    so ``since`` limits only the oldest container with lines in it, ``until`` only the newest."""
    status: bool = False
    """Also send ``status`` messages where the container started or ended."""
    gzip: bool = False
    adopts: bool = False
    """Describe the application's container (``mist/adoptable.py``) instead of reading its log."""


class Head(msgspec.Struct, frozen=True):
    """The HTTP status of the answer; ``message`` explains any status other than 200."""

    status: int
    message: str = ""
    retry_after: int | None = None
    """The seconds after which to try again."""


def frame(data: bytes) -> bytes:
    """Return one frame of an answer."""
    return LENGTH.pack(len(data)) + data


def refusal(status: int, message: str, retry_after: int | None = None) -> bytes:
    """Return an answer that consists of a Head alone."""
    return frame(msgspec.json.encode(Head(status, message, retry_after))) + frame(b"")
