"""The bridge's MQTT session and the lean publisher against Mosquitto alone."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy import health, machine
from edge.lean import LeanPublisher
from stream_apps import mqtt_source
from stream_apps.bridge_core import Message
from stream_apps.mqtt_source import MqttSource
from tests.conftest import eventually
from weir import wire
from weir.settings import Settings

COUNT = 500


class Broker:
    """A Mosquitto of its own, that can be killed and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.config = Settings(mqtt_port=port, home=folder)
        self._file = folder / "mosquitto.conf"
        self._file.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
            "user root\nmax_inflight_messages 20000\nmax_queued_messages 100000\n"
        )
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([str(machine.mosquitto_path()), "-c", str(self._file)])
        eventually(lambda: health.listening("127.0.0.1", self.config.mqtt_port) is None)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)
        self._process.wait()


@pytest.fixture
def broker(tmp_path: Path, ports: Callable[[int], int]) -> Iterator[Broker]:
    one = Broker(tmp_path, ports(1))
    yield one
    one.stop(signal.SIGKILL)


def messages(first: int, count: int) -> list[tuple[bytes, bytes]]:
    return [(wire.text(f"weir/a/s{n % 7}/data"), b"%d" % n) for n in range(first, first + count)]


async def take(source: MqttSource, count: int) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            await source.wait()
            found += source.drain(100)
    return found


async def connected(source: MqttSource) -> None:
    async with asyncio.timeout(20):
        while not source.connected:
            await asyncio.sleep(0.05)


def test_messages_come_in_order_and_what_is_not_acknowledged_comes_again(broker: Broker) -> None:
    async def work() -> None:
        source = MqttSource(0, broker.config, lambda _: True, [])
        source.start()
        await connected(source)
        await asyncio.to_thread(publish, broker.config, messages(0, COUNT))
        first = await take(source, COUNT)
        assert [int(one.payload) for one in first] == list(range(COUNT))
        source.acknowledge([one.token for one in first[: COUNT // 2] if one.token])
        await source.close()
        again = MqttSource(0, broker.config, lambda _: True, [])
        again.start()
        second = await take(again, COUNT - COUNT // 2)
        assert [int(one.payload) for one in second] == list(range(COUNT // 2, COUNT))
        await again.close()

    asyncio.run(work())


def test_a_broker_that_was_away_is_found_again_by_both_ends_and_nothing_is_lost(broker: Broker) -> None:
    async def work() -> None:
        source = MqttSource(0, broker.config, lambda _: True, [])
        source.start()
        await connected(source)
        publisher = LeanPublisher(broker.config, "lean")
        publisher.publish(messages(0, COUNT))
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(publisher.publish, messages(COUNT, COUNT))
        assert await asyncio.to_thread(publisher.flush, 20.0)
        found: set[int] = set()
        while len(found) < 2 * COUNT:
            found |= {int(one.payload) for one in await take(source, 1)}
        assert found == set(range(2 * COUNT))
        assert publisher.reconnects >= 1
        publisher.close()
        await source.close()

    asyncio.run(work())


def test_memory_is_bounded_because_the_broker_waits(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_source, "MAX_HELD_BYTES", 100_000)

    async def work() -> None:
        source = MqttSource(0, broker.config, lambda _: True, [])
        source.start()
        await connected(source)
        big = [(wire.text("weir/a/big/data"), b"%d " % n + b"x" * 20_000) for n in range(200)]
        await asyncio.to_thread(publish, broker.config, big)
        await source.wait()
        await asyncio.sleep(0.5)  # time in which a source that does not stop reading would take all of it
        assert source._held_bytes < 100_000 + 300_000
        found = await take(source, 200)
        assert [int(one.payload.split()[0]) for one in found] == list(range(200))
        await source.close()

    asyncio.run(work())


def publish(config: Settings, wanted: list[tuple[bytes, bytes]]) -> None:
    publisher = LeanPublisher(config, f"lean-{time.time_ns()}")
    publisher.publish(wanted)
    assert publisher.flush(20)
    publisher.close()
