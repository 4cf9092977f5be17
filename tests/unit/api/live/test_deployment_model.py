"""A model of a deployment's clients: each gets the whole file once, whatever the bus loses.

The file, the listener and its cursors are real. Chance loses, repeats and splits messages,
and decides when clients join and how slowly they read.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import cast
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from api.live import deployment
from api.live.deployment import DeploymentLog
from api.websocket.connection import Connection, FrameSource
from api.websocket.frames import payloads
from bus.wire import Header, Kind, Message
from mist import messages
from mist.deployments.records import closing_records, status_record
from mist.settings import StreamSettings
from mist.store import Deployment
from tests.unit.api.live.test_deployment import BUILDING, FAILED, SUCCESS

TOPIC = b"deployment/7/log"


class Viewer:
    """A connection that takes its data at once or only when told to."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self.source: FrameSource | None = None
        self.received: list[bytes] = []
        self.code: int | None = None

    def flush(self) -> None:
        """Take everything if the client is fast."""
        while self.quick and self.step():
            pass

    def step(self) -> bool:
        """Take data once; return True if there was any."""
        assert self.source is not None
        frames = b"".join(self.source.take())
        self.received += [frames[start:end] for _, start, end in payloads(frames)]
        return bool(frames)

    def finish(self, code: int) -> None:
        """Record the close code."""
        self.flush()
        self.code = code


class Model:
    """A file, its messages on the bus, and its clients."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "7.ndjson"
        self.records: list[bytes] = []
        self.row = BUILDING
        self.listener = DeploymentLog(StreamSettings(ring_lines=6), self.path, self._load)
        self.viewers: list[Viewer] = []

    def _load(self) -> Deployment:
        return self.row

    def write(self, count: int) -> None:
        """Write lines as the runner does, without delivering them yet."""
        numbers = range(len(self.records), len(self.records) + count)
        self.append([messages.log("2025-01-15T10:30:00Z", f"{n}", "stdout") for n in numbers])

    def append(self, records: list[bytes]) -> None:
        """Append records to the file."""
        self.records += records
        with self.path.open("ab") as file:
            file.writelines(record + b"\n" for record in records)

    def deliver(self, last: int) -> None:
        """Deliver this many of the last records as one message."""
        records = self.records[-last:]
        if records:
            header = Header(Kind.LOG, 1, 1, len(self.records) - len(records) + 1, len(records))
            self.listener.feed(Message(TOPIC, header, b"\n".join(records)))
            self.listener.flush()

    def repeat(self, first: int) -> None:
        """Deliver an earlier record again."""
        if first < len(self.records):
            self.listener.feed(
                Message(TOPIC, Header(Kind.LOG, 2, 2, first + 1), self.records[first])
            )
            self.listener.flush()

    def join(self, quick: bool) -> None:
        """Add a client."""
        viewer = Viewer(quick=quick)
        self.viewers.append(viewer)
        self.listener.add(cast(Connection, viewer))

    def step(self, number: int) -> None:
        """Let one client's socket take data."""
        if self.viewers:
            self.viewers[number % len(self.viewers)].step()

    def reconcile(self, _: int) -> None:
        """Let a second pass."""
        self.listener.reconcile()

    def end(self, *, told: bool, row: Deployment) -> list[bytes]:
        """End the deployment, with its last records in the file or not; return what clients got."""
        closing = closing_records(row)
        if told:
            self.append(closing)
        self.row = row
        self.listener.reconcile()
        for viewer in self.viewers:
            while viewer.step():
                pass
        return self.records if told else self.records + closing


numbers = st.integers(0, 12)
actions = st.one_of(
    st.tuples(st.sampled_from(["write", "deliver", "repeat", "step", "reconcile"]), numbers),
    st.tuples(st.just("join"), st.booleans()),
)


def _untimed(record: bytes) -> bytes:
    """Remove the time of a closing record, which is written twice with different times."""
    return record[record.index(b'"data"') :]


@given(st.lists(actions, max_size=60), st.booleans(), st.sampled_from([FAILED, SUCCESS]))
def test_each_client_has_the_whole_log_once(
    history: list[tuple[str, int]], told: bool, row: Deployment
) -> None:
    """Each client gets the whole log in order, once, and one close code."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(deployment, "READ_BYTES", 400),
        patch.object(deployment, "_PIECES", 1_000),
    ):
        model = Model(Path(folder))
        model.append([status_record(structs.replace(BUILDING, progress=0))])
        for action, argument in history:
            getattr(model, action)(argument)
        wanted = [_untimed(record) for record in model.end(told=told, row=row)]
        for viewer in model.viewers:
            assert [_untimed(record) for record in viewer.received] == wanted
            assert viewer.code == 1000
