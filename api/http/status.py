"""The supervisor's table of processes: ``/api/status``."""

from __future__ import annotations

import os
import socket
from typing import Final

import falcon
import msgspec
from gevent.timeout import Timeout

from api.http.access import require_admin, services
from api.http.envelope import reply
from api.http.readers import ask_supervisor
from api.services import Services
from mist.descriptors import receive_descriptors
from mist.errors import BusError
from mist.paths import PathHider
from mist.status import STATUS_REQUEST, ServiceStatus

# The supervisor answers in the next turn of its loop, which takes some milliseconds.
_ANSWER_SECONDS: Final = 3.0
_NO_ANSWER: Final = (
    "the supervisor does not answer; start the service on its machine, or see its log there"
)


class StatusResource:
    """``/api/status``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show each process of the service, as ``mist status`` does; only for admins."""
        require_admin(req)
        with_ = services(req)
        hide = PathHider({with_.paths.home: "MIST_HOME", with_.paths.runtime: "MIST_RUNTIME"})
        status = _status(with_)
        processes = [msgspec.structs.replace(row, why=hide(row.why)) for row in status.processes]
        reply(resp, msgspec.structs.replace(status, processes=processes))


def _status(with_: Services) -> ServiceStatus:
    """Ask the supervisor; raise BusError without an answer."""
    ours, theirs = socket.socketpair()
    with ours, Timeout(_ANSWER_SECONDS, BusError(_NO_ANSWER)):
        with theirs:
            ask_supervisor(with_, STATUS_REQUEST, theirs)
        descriptors = receive_descriptors(ours, 1, 1).descriptors
    if not descriptors:  # an earlier version, or one that is short of descriptors or memory
        raise BusError(
            "the supervisor does not tell its processes; `mist status` on its machine does, "
            "and if the service was upgraded, restart it"
        )
    with open(descriptors[0], "rb") as memory:
        data = os.pread(memory.fileno(), os.fstat(memory.fileno()).st_size, 0)
    return msgspec.json.decode(data, type=ServiceStatus)
