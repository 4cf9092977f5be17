"""Tests of the tap between a broker and subscribers over TCP."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import zmq
from msgspec import structs
from zmq.auth import create_certificates, load_certificate

from bus import wire
from bus.broker.control import Report, SubscriptionChanged
from bus.tap.main import main
from bus.wire import Kind
from mist.errors import BusError
from mist.process import Assignment
from mist.settings import BusSettings, Settings
from tests.support.bus import Rig
from tests.support.until_sigterm import until_sigterm
from tests.support.wait import wait_until

TOPIC = b"container/1/log"
TAP = Assignment("tap", 0, 1, False)


@pytest.fixture
def settings(rig: Rig) -> Settings:
    """Settings with a free port for the tap."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return structs.replace(rig.settings, bus=BusSettings(tap_bind=address))


def client(rig: Rig, settings: Settings, name: str) -> zmq.Socket[bytes]:
    """Return a subscriber over TCP with a key pair of its own, in the directory ``name``."""
    directory = rig.paths.home / "tap" / name
    directory.mkdir(parents=True, exist_ok=True)
    public, secret = load_certificate(create_certificates(directory, "mine")[1])
    server = rig.paths.home / "tap/server.key"
    wait_until(lambda: server.exists() and server.read_bytes().strip(), "the server's key")
    made = rig.context.socket(zmq.SUB)
    made.linger = 0
    made.reconnect_ivl = 20
    made.curve_publickey, made.curve_secretkey = public, secret or b""
    made.curve_serverkey = wait_until(lambda: load_certificate(server)[0], "the public key")
    made.connect(f"tcp://{settings.bus.tap_bind}")
    return made


def await_change(rig: Rig, change: SubscriptionChanged) -> None:
    """Wait until the broker reports a change."""
    found: list[Report] = []
    while change not in found:
        assert rig.pipe.poll(20), f"only {found}"
        found += rig.pipe.recv()


def test_forwards_messages_and_subscriptions(rig: Rig, settings: Settings) -> None:
    """A message reaches a subscriber unchanged, and the broker hears when the subscriber leaves."""

    def visit() -> None:
        publisher = rig.publisher(TOPIC)
        with client(rig, settings, "clients") as subscriber:
            subscriber.subscribe(TOPIC)
            await_change(rig, SubscriptionChanged(True, TOPIC))
            publisher.publish(Kind.LOG, b"one\ntwo", count=2)
            assert subscriber.poll(20_000)
            message = wire.parse(subscriber.recv_multipart())
            assert (message.topic, message.body, message.header.seq) == (TOPIC, b"one\ntwo", 1)
            subscriber.unsubscribe(TOPIC)
            await_change(rig, SubscriptionChanged(False, TOPIC))
        publisher.close()

    until_sigterm(lambda: main(TAP, settings, rig.paths), visit)


def test_a_client_without_a_listed_key_gets_nothing(rig: Rig, settings: Settings) -> None:
    """A message reaches a client with a listed key, but not one whose key is not listed."""

    def visit() -> None:
        publisher = rig.publisher(TOPIC)
        with client(rig, settings, "strangers") as stranger:
            refused = stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
            stranger.subscribe(TOPIC)
            assert refused.poll(20_000), "the handshake fails"
            stranger.disable_monitor()
            refused.close()
            with client(rig, settings, "clients") as subscriber:
                subscriber.subscribe(TOPIC)
                await_change(rig, SubscriptionChanged(True, TOPIC))
                publisher.publish(Kind.LOG, b"one")
                assert subscriber.poll(20_000)
            assert not stranger.poll(0)
        publisher.close()

    until_sigterm(lambda: main(TAP, settings, rig.paths), visit)


def test_a_taken_port_is_reported(rig: Rig, settings: Settings) -> None:
    """A port that is taken is reported with its address, and the sockets are closed."""
    host, port = settings.bus.tap_bind.split(":")
    with (
        socket.create_server((host, int(port))),
        pytest.raises(BusError, match=f"on {host}:{port}"),
    ):
        main(TAP, settings, rig.paths)


def test_the_directory_of_keys_can_be_set(rig: Rig, settings: Settings, tmp_path: Path) -> None:
    """The setting names another directory, which is created."""
    keys = tmp_path / "keys"
    other = structs.replace(settings, bus=structs.replace(settings.bus, tap_keys=str(keys)))
    until_sigterm(
        lambda: main(TAP, other, rig.paths), lambda: wait_until(keys.is_dir, "the directory")
    )
    assert not (rig.paths.home / "tap/clients").exists()
