"""Reads a foreign broker into Kafka, as the bridge does the local one: a PUBACK only for what Kafka has acknowledged.

It publishes nothing there but what devices must be asked (Sparkplug's rebirth requests).
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer
from prometheus_client import Counter

from stream_apps.bridge_core import Record, Router
from stream_apps.broker import Broker
from stream_apps.decoders import Registry, Rule
from stream_apps.limits import Limits
from stream_apps.mqtt_source import MqttSource
from stream_apps.received import ReceivedCounter
from weir import connections
from weir.settings import Settings

log = logging.getLogger("weir.bridge")

MAX_BATCH = 5000
DRAIN_S = 6.0
#: As Faust's producer has it: Kafka may be away this long before anything is given up.
REQUEST_MS = 1_200_000

messages_total = Counter("weir_bridge_from_messages", "MQTT messages taken from the foreign broker")
refused_total = Counter("weir_bridge_from_refused", "MQTT messages of the foreign broker refused", ["reason"])


class ForeignBridge:
    """One session at one foreign broker, with decoders of its own. Use from one event loop."""

    def __init__(self, config: Settings, broker: Broker, rules: list[Rule]) -> None:
        self.registry = Registry(rules)
        self.router = Router(config.partitions, Limits(config.sensor_rate, config.sensor_burst), self.registry)
        self.messages = 0
        self._config = config
        self._broker = broker
        self._source: MqttSource | None = None
        self._inflight = 0

    @property
    def running(self) -> bool:
        return self._source is not None

    async def start(self, give_up: Callable[[str], object]) -> None:
        """Connect and go on until `stop`. `give_up` is called, with words, when nothing but a new start helps.

        Raises `KafkaError` where Kafka is away.
        """
        self._give_up = give_up
        self._received = ReceivedCounter(self._config.redis_url)
        self._producer: Any = AIOKafkaProducer(
            **connections.aiokafka(self._config), acks="all", enable_idempotence=True, request_timeout_ms=REQUEST_MS,
            max_batch_size=1_000_000, max_request_size=3_000_000,
        )  # fmt: skip
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise
        await self._received.start()
        self._source = MqttSource(0, self._config, lambda site: True, self.registry.patterns, self._broker)
        self._source.start()
        self._task = asyncio.create_task(self._run(self._source))
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Take nothing more, and wait a moment for what is on its way."""
        if self._source is None:
            return
        source, self._source = self._source, None
        source.stop_receiving()
        self._task.cancel()
        deadline = asyncio.get_running_loop().time() + DRAIN_S
        while self._inflight and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(source.close)
        await self._producer.stop()
        await self._received.stop()

    def problem(self) -> str | None:
        """For /healthz."""
        connected = self._source is not None and self._source.connected
        return None if connected else f"not connected to {self._broker}"

    async def _run(self, source: MqttSource) -> None:
        while True:
            await source.wait()
            await asyncio.sleep(self._config.linger_ms / 1000)
            messages = source.drain(MAX_BATCH)
            if not messages:
                continue
            self.messages += len(messages)
            messages_total.inc(len(messages))
            before = dict(self.router.refused)
            routed = self.router.route(messages)
            for reason, count in self.router.refused.items():
                refused_total.labels(reason).inc(count - before.get(reason, 0))
            for token, parts in routed.parts.items():
                source.window.split(token, parts)
            source.acknowledge(routed.empty)
            for topic, payload in routed.requests:
                source.publish(topic, payload)
            for record in routed.records:
                future = await self._producer.send(
                    record.topic, record.value, key=record.key, partition=record.partition
                )
                self._inflight += 1
                future.add_done_callback(partial(self._settled, source, record))

    def _settled(self, source: MqttSource, record: Record, future: Future[Any]) -> None:
        self._inflight -= 1
        error = future.exception() if not future.cancelled() else asyncio.CancelledError("cancelled")
        if error is not None:
            self._give_up(f"Kafka did not take a record of {record.topic}: {error!r}")
            return
        self._received.add(record.received)
        source.acknowledge(record.tokens)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._give_up(f"reading {self._broker} ended: {task.exception()!r}")
