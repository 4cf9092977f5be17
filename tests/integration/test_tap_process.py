"""The tap as a process: who may connect over TCP, what it forwards, and floods of its port."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

import psutil
import pytest
import zmq
import zmq.auth

from bus import wire
from bus.broker.control import RejectTopic, SubscriptionChanged
from mist.addresses import split_address
from mist.settings import BusSettings, Settings
from tests.support import bus, floods
from tests.support.bus import Rig
from tests.support.service.programs import kill
from tests.support.service.service import free_port
from tests.support.wait import wait_until

TOPIC = b"container/1/log"

Socket = zmq.Socket[bytes]
Keys = tuple[bytes, bytes]


class Tapped:
    """A broker, a tap on the loopback interface, and clients over TCP."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.address = rig.settings.bus.tap_bind
        self.clients = rig.paths.home / "tap" / "clients"
        self.process = self.start()

    def start(self) -> BaseProcess:
        """Start a tap, initially or after a crash."""
        self.process = self.rig.run("bus.tap.main:main", "tap")
        wait_until(self.listens, "the tap to listen")
        return self.process

    def listens(self) -> bool:
        """Return True if a TCP connection is accepted."""
        with floods.connections(split_address(self.address), 1, strict=True) as connect:
            try:
                connect()
            except OSError:
                return False
        return True

    def key(self, name: str = "guest") -> Keys:
        """Return a key pair whose public half is on the list."""
        zmq.auth.create_certificates(self.clients, name)
        file = self.clients / f"{name}.key_secret"
        public, secret = zmq.auth.load_certificate(file)
        assert secret is not None
        file.unlink()
        return public, secret

    def client(self, keys: Keys | None, topic: bytes = TOPIC) -> Socket:
        """Return a subscriber over TCP, with a key pair or without any security."""
        socket = self.rig.context.socket(zmq.SUB)
        self.rig.stack.callback(socket.close, 0)
        socket.reconnect_ivl = 20
        if keys:
            server = self.rig.paths.home / "tap" / "server.key"
            socket.curve_serverkey, _ = zmq.auth.load_certificate(server)
            socket.curve_publickey, socket.curve_secretkey = keys
        socket.subscribe(topic)
        socket.connect(f"tcp://{self.address}")
        return socket

    def changes(self, count: int) -> list[SubscriptionChanged]:
        """Return the next changes of demand that the broker reports."""
        found: list[SubscriptionChanged] = []
        while len(found) < count:
            assert self.rig.pipe.poll(bus.PATIENCE), f"only {found}"
            reports = self.rig.pipe.recv()
            found += [each for each in reports if isinstance(each, SubscriptionChanged)]
        return found

    def hear(self, client: Socket) -> None:
        """Assert that a client receives what is sent from now on."""
        number = str(time.monotonic()).encode()
        deadline = time.monotonic() + bus.PATIENCE
        # Again and again, because nobody says when the client's subscription has arrived.
        while time.monotonic() < deadline:
            self.rig.pipe.send(RejectTopic(TOPIC, number, 0))
            while client.poll(50):
                if wire.parse(client.recv_multipart()).body == number:
                    return
        pytest.fail("the client hears nothing")


@pytest.fixture
def tapped() -> Iterator[Tapped]:
    """A tap with the default settings."""
    settings = Settings(bus=BusSettings(tap_bind=f"127.0.0.1:{free_port()}"))
    with bus.running(settings) as rig:
        yield Tapped(rig)


def test_listed_key(tapped: Tapped) -> None:
    """A key that is added while the tap runs gives access, and its subscription is demand."""
    client = tapped.client(tapped.key())
    assert tapped.changes(1) == [SubscriptionChanged(True, TOPIC)]
    tapped.hear(client)
    client.unsubscribe(TOPIC)
    assert tapped.changes(1) == [SubscriptionChanged(False, TOPIC)]


@pytest.mark.parametrize("with_key", [False, True], ids=["no security", "unknown key"])
def test_without_a_listed_key(tapped: Tapped, with_key: bool) -> None:
    """A client with no security or an unlisted key receives nothing and is not demand."""
    (tapped.clients / "broken.key").write_text("no certificate")
    stranger = tapped.client(zmq.curve_keypair() if with_key else None)
    # A listed client that joins later and is served shows that the other had time enough.
    guest = tapped.client(tapped.key())
    assert tapped.changes(1) == [SubscriptionChanged(True, TOPIC)]
    tapped.hear(guest)
    assert not stranger.poll(200)
    assert not tapped.rig.pipe.poll(0)


def test_demand_ends_with_the_last_client(tapped: Tapped) -> None:
    """Two clients are one demand of the broker's; it ends when both have left."""
    keys = tapped.key()
    first = tapped.client(keys)
    tapped.changes(1)
    second = tapped.client(keys)
    tapped.hear(second)
    first.close(0)
    tapped.hear(second)
    assert not tapped.rig.pipe.poll(0.2)
    second.close(0)
    assert tapped.changes(1) == [SubscriptionChanged(False, TOPIC)]


@pytest.mark.parametrize("victim", ["tap", "broker"])
def test_clients_come_back(tapped: Tapped, victim: str) -> None:
    """When the tap or the broker has crashed, the clients' subscriptions are restored."""
    client = tapped.client(tapped.key())
    tapped.changes(1)
    if victim == "tap":
        assert tapped.process.pid
        os.kill(tapped.process.pid, signal.SIGKILL)
        assert tapped.changes(1) == [SubscriptionChanged(False, TOPIC)]
        tapped.start()
    else:
        kill(tapped.rig.broker)
        tapped.rig.start()
    tapped.hear(client)  # libzmq repeats a subscription when the client polls
    assert tapped.changes(1) == [SubscriptionChanged(True, TOPIC)]


def test_connections_without_a_key(tapped: Tapped) -> None:
    """More than a thousand connections without a key harm neither the tap nor its clients."""
    keys = tapped.key()
    client = tapped.client(keys)
    tapped.changes(1)
    with floods.connections(split_address(tapped.address), batch=100) as step:
        floods.assert_flat(tapped.process, step, seconds=1.0, settle=1.5)
        tapped.hear(client)
        tapped.hear(tapped.client(keys))
    assert tapped.rig.broker.is_alive()


def test_few_descriptors(tapped: Tapped) -> None:
    """A tap that may open few files accepts fewer connections, and lives."""
    _limit(tapped.process, 128)
    client = tapped.client(tapped.key())
    tapped.changes(1)
    with floods.connections(split_address(tapped.address), batch=100) as step:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            step()
    tapped.hear(client)
    assert tapped.process.is_alive()


def _limit(process: BaseProcess, files: int) -> None:
    assert process.pid
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (files, files))


def test_deaf_clients(tapped: Tapped) -> None:
    """Clients that read nothing cost the tap a bounded number of bytes."""
    keys = tapped.key()
    for _ in range(3):
        tapped.client(keys).rcvhwm = 1
    tapped.changes(1)
    publisher = tapped.rig.publisher(TOPIC)
    step = floods.lines(publisher, 1024**2, rate=60.0)
    floods.assert_flat(tapped.process, step, seconds=1.5, settle=2.0)
    assert floods.memory(tapped.rig.broker) < floods.LIMIT


def test_the_broker_has_no_port(tapped: Tapped) -> None:
    """Only the tap listens on TCP."""
    listening = {
        name: [
            each
            for each in psutil.Process(process.pid).net_connections("tcp")
            if each.status == psutil.CONN_LISTEN
        ]
        for name, process in (("tap", tapped.process), ("broker", tapped.rig.broker))
    }
    assert len(listening["tap"]) == 1
    assert listening["broker"] == []
