"""What chaos is made of: the order of faults, the proxy, hostile payloads, alarms whose flags are known."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from deploy.proof import alarms, chaos, faults
from deploy.proof.faults import COMPONENTS, Fault, catalogue, names_of
from deploy.proof.proxy import FaultProxy
from deploy.proof.soak import Series
from deploy.proof.trouble import payloads
from stream_apps.bridge_core import Message, Router
from stream_apps.conditions import Rules
from stream_apps.lifecycle import Lifecycle
from weir import topics
from weir.errors import SetupError
from weir.events import AlertState, Flag

NOW = 1_795_431_817_920


def test_what_this_stack_does_not_have_or_was_stopped_need_not_be_well() -> None:
    assert chaos.watched(["kafka", "zookeeper", "web"], {"kafka": "running", "web": "stopped", "fleet": "running"}) == [
        "kafka"
    ]


def test_every_component_is_killed_stopped_and_slowed_and_the_seed_gives_the_order() -> None:
    found = catalogue(COMPONENTS, 1, kills_only=False)
    for kind in ("kill", "stop", "slow"):
        assert {one.names for one in found if one.kind == kind and len(one.names) == 1} == {(n,) for n in COMPONENTS}
    assert any(len(one.names) == 2 for one in found)
    assert {one.kind for one in found} == set(faults.KINDS)
    assert {one.names for one in found if one.kind == "cut"} == {("devices",), ("postgres",), ("valkey",)}
    assert found == catalogue(COMPONENTS, 1, kills_only=False) != catalogue(COMPONENTS, 2, kills_only=False)


def test_redis_means_valkey_and_an_unknown_component_is_refused() -> None:
    assert names_of("redis, kafka") == ("valkey", "kafka")
    assert catalogue(("kafka",), 1, kills_only=True) == [Fault("kill", ("kafka",))]
    with pytest.raises(SetupError, match="nope"):
        names_of("nope")


def test_every_hostile_payload_becomes_exactly_one_dead_letter() -> None:
    corpus = payloads(NOW)
    for sensor, leaf, payload in corpus:
        routed = Router(4).route([Message(f"weir/bad/{sensor}/{leaf}", payload, NOW, None)])
        assert [one.topic for one in routed.records] == [topics.DEAD_LETTERS], payload[:60]
    assert len(corpus) > 20


def test_each_alarm_opens_exactly_one_alert_in_an_undisturbed_run() -> None:
    for alarm in alarms.make("chaos", NOW, 60, count=3):
        life, opened = Lifecycle(Rules()), []
        for reading in alarm.readings:
            if reading.ts in alarm.flagged:
                flag = Flag(reading.site, reading.sensor, "temperature", reading.ts, 60.0, 50.0, 20.0, 21.0, 18.0, 23.0,
                            100, reading.ts)  # fmt: skip
                life.flag(flag, reading.ts)
            life.seen(reading.site, reading.sensor, reading.ts, reading.ts)
            opened += [one for one in life.tick(reading.ts) if one.state is AlertState.ACTIVE and one.n == 1]
        assert [one.rule for one in opened] == ["anomaly"]


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with closing(connection):
            try:
                while data := connection.recv(4096):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with closing(server):
        yield server.getsockname()[1]


def answers(connection: socket.socket) -> bool:
    """False when the connection was reset or ended."""
    try:
        connection.sendall(b"ping")
        return connection.recv(10) == b"ping"
    except OSError:
        return False


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 5)


def test_the_proxy_forwards_cuts_and_stalls_what_passes_through_it(echo: int) -> None:
    with FaultProxy("127.0.0.1", echo) as proxy:
        first = connect(proxy)
        assert answers(first)
        proxy.cut()
        assert not answers(first)
        assert not answers(connect(proxy))
        proxy.mend()
        second = connect(proxy)
        assert answers(second)
        proxy.stall()
        second.sendall(b"late")
        threading.Timer(0.3, proxy.mend).start()
        second.settimeout(0.1)
        with pytest.raises(TimeoutError):
            second.recv(10)
        second.settimeout(5)
        assert second.recv(10) == b"late"


def test_what_grows_after_the_warm_up_is_not_flat_and_what_only_swings_is() -> None:
    swinging = Series([10.0 + 90 * (i < 50) + i % 3 for i in range(300)])
    growing = Series([100.0 + i for i in range(300)])
    assert swinging.flat(1.0)
    assert not growing.flat(1.0)
    assert Series().flat(1.0)
