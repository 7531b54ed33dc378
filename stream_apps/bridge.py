"""The bridge: MQTT to Kafka, a PUBACK only for what Kafka has acknowledged. Run as `python -m stream_apps.bridge`.

An MQTT source service feeds a channel, an agent on it turns what arrived within one linger into records and sends
them without waiting; each record's future acknowledges its messages. The partitions of `bridge-shards`, as Faust
assigns them, say which worker runs which MQTT session, and so which sites.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from asyncio import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NoReturn

import faust
from faust.types import TP
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from stream_apps.bridge_core import Message, Record, Router
from stream_apps.broker import of_settings
from stream_apps.decoders import Registry, devices
from stream_apps.decoders.metrics import DecoderMetrics
from stream_apps.faust_base import make_app, run
from stream_apps.foreign import ForeignBridge
from stream_apps.limits import Limits
from stream_apps.mqtt_source import MqttSource
from stream_apps.received import ReceivedCounter
from weir import topics
from weir.settings import settings

log = logging.getLogger("weir.bridge")
config = settings()

MAX_BATCH = 5000
#: Where so many arrive within one linger it is doubled, up to so many times the least.
BUSY, LONGEST = 50, 4
DRAIN_S = 6.0
STUCK_S = 20.0

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
messages_total = Counter("weir_bridge_messages", "MQTT messages taken")
refused_total = Counter("weir_bridge_refused", "MQTT messages refused", ["reason"])
records_total = Counter("weir_bridge_records", "Records Kafka has acknowledged", ["topic"])
unacknowledged = Gauge("weir_bridge_unacknowledged", "MQTT messages received and not acknowledged")
to_kafka = Histogram(
    "weir_received_to_kafka_seconds",
    "From receipt to Kafka's acknowledgement, per record",
    buckets=_BUCKETS,
)
published_to_kafka = Histogram(
    "weir_published_to_kafka_seconds",
    "From the time the newest live reading of a record claims to Kafka's acknowledgement",
    buckets=_BUCKETS,
)


@dataclass(frozen=True)
class Batch:
    """What arrived at one session within one linger."""

    source: MqttSource
    messages: list[Message]


app = make_app("bridge", config.bridge_port)
app.conf.producer_max_batch_size = 1_000_000
app.conf.producer_max_request_size = 3_000_000
shards = app.topic(topics.BRIDGE_SHARDS)
batches: Any = app.channel(maxsize=16)
assigned_signal: Any = app.on_partitions_assigned
registry = Registry(devices.rules(config))
elsewhere = of_settings(config)
foreign = ForeignBridge(config, elsewhere, devices.rules(config)) if elsewhere is not None else None
REGISTRY.register(DecoderMetrics([*registry.channels, *(foreign.registry.channels if foreign else [])]))
router = Router(config.partitions, Limits(config.sensor_rate, config.sensor_burst), registry)
received = ReceivedCounter(config.redis_url)


class Bridge(faust.Service):
    """Runs one MQTT session for each shard this worker owns.

    Faust makes the instance, and may assign partitions before it starts: hence what is kept on the class.
    """

    instance: ClassVar[Bridge | None] = None
    #: None until Faust has said which.
    owned: ClassVar[set[int] | None] = None

    def __post_init__(self) -> None:
        self.sources: dict[int, MqttSource] = {}
        self._turn = asyncio.Lock()
        self.inflight = 0
        self.progress = time.monotonic()
        self._pumps: dict[int, asyncio.Task[None]] = {}

    async def on_start(self) -> None:
        app.checks["mqtt"] = self.problem
        await received.start()
        Bridge.instance = self
        await self.own()

    async def own(self) -> None:
        """Start the sessions of shards just gained, stop those of shards lost. One re-balance after another."""
        async with self._turn:
            owned = Bridge.owned or set()
            for shard in set(self.sources) - owned:
                await self._stop_source(shard)
            for shard in owned - set(self.sources):
                log.info("shard %d of %d is ours", shard, config.bridge_shards)
                source = self.sources[shard] = MqttSource(shard, config, _owner(shard), registry.patterns)
                source.start()
                self._pumps[shard] = asyncio.create_task(self._pump(source))
            if foreign is not None and (0 in owned) != foreign.running:
                await (foreign.start(_give_up) if 0 in owned else foreign.stop())

    async def _pump(self, source: MqttSource) -> None:
        least = linger = config.linger_ms / 1000
        while not self.should_stop:
            await source.wait()
            await asyncio.sleep(linger)
            messages = source.drain(MAX_BATCH)
            # Every frame costs each worker after us about as much as a hundred readings do.
            linger = min(2 * linger, LONGEST * least) if len(messages) >= BUSY else least
            received.broker(source.broker)
            if messages:
                await batches.put(Batch(source, messages))

    async def _stop_source(self, shard: int) -> None:
        source = self.sources.pop(shard)
        source.stop_receiving()
        self._pumps.pop(shard).cancel()
        deadline = time.monotonic() + DRAIN_S
        while self.inflight and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(source.close)

    async def on_stop(self) -> None:
        Bridge.instance = None
        for shard in list(self.sources):
            await self._stop_source(shard)
        if foreign is not None:
            await foreign.stop()
        await received.stop()

    def problem(self) -> str | None:
        """For /healthz: every session we own is connected, and Kafka goes on acknowledging."""
        if self.inflight and time.monotonic() - self.progress > STUCK_S:
            return f"Kafka has acknowledged nothing for {time.monotonic() - self.progress:.0f} s"
        if Bridge.owned is None:
            return "Kafka has not told yet which shards are ours"
        lost = [str(shard) for shard, source in self.sources.items() if not source.connected]
        if lost:
            return f"not connected to Mosquitto: shard {', '.join(lost)}"
        return foreign.problem() if foreign is not None and 0 in self.sources else None

    def settled(self, source: MqttSource, record: Record, oldest: int, future: Future[Any]) -> None:
        """Kafka has answered for one record: acknowledge its messages, or have them delivered again."""
        self.inflight -= 1
        self.progress = time.monotonic()
        error = future.exception() if not future.cancelled() else asyncio.CancelledError("cancelled")
        if error is not None:
            _give_up(f"Kafka did not take a record of {record.topic}: {error!r}")
        records_total.labels(record.topic).inc()
        now = time.time()
        to_kafka.observe(max(0.0, now - oldest / 1000))
        if record.measured:
            published_to_kafka.observe(max(0.0, now - record.measured / 1000))
        received.add(record.received)
        source.acknowledge(record.tokens)


def _owner(shard: int) -> Any:
    count = config.bridge_shards
    return lambda site: count == 1 or topics.partition_of(site, count) == shard


app.service(Bridge)


@app.agent(batches)
async def carry(stream: faust.StreamT[Batch]) -> None:
    """Route each batch and send its records in order, without waiting for their acknowledgements."""
    async for batch in stream:
        try:
            await _carry(batch)
        except Exception as error:  # Faust would skip the batch and go on
            log.exception("a batch could not be carried")
            _give_up(repr(error))


def _give_up(why: str) -> NoReturn:
    """End the process: nothing unfinished was acknowledged, so the next one gets all of it again."""
    log.critical("%s. The bridge ends; the supervisor starts it again and Mosquitto delivers again", why)
    os._exit(70)


async def _carry(batch: Batch) -> None:
    this = _running()
    before = dict(router.refused)
    routed = router.route(batch.messages)
    for token, parts in routed.parts.items():
        batch.source.window.split(token, parts)
    batch.source.acknowledge(routed.empty)
    for topic, payload in routed.requests:
        batch.source.publish(topic, payload)
    messages_total.inc(len(batch.messages))
    for reason, count in router.refused.items():
        if count > before.get(reason, 0):
            refused_total.labels(reason).inc(count - before.get(reason, 0))
    oldest = batch.messages[0].rx
    for record in routed.records:
        future: Any = await app.producer.send(record.topic, record.key, record.value, record.partition, None, None)
        this.inflight += 1
        future.add_done_callback(partial(this.settled, batch.source, record, oldest))
    unacknowledged.set(sum(len(source.window) for source in this.sources.values()))


def _running() -> Bridge:
    if Bridge.instance is None:
        raise RuntimeError("the bridge service is not running")
    return Bridge.instance


@app.agent(shards)
async def ownership(stream: faust.StreamT[bytes]) -> None:
    """Consumes nothing: subscribing makes Faust share the shards among the workers."""
    async for _ in stream:
        continue


@assigned_signal.connect
async def on_assigned(app: faust.App, assigned: set[TP], **kwargs: Any) -> None:
    owned = {tp.partition for tp in assigned if tp.topic == topics.BRIDGE_SHARDS}
    Bridge.owned = {shard for shard in owned if shard < config.bridge_shards}
    if Bridge.instance is not None:
        await Bridge.instance.own()


if __name__ == "__main__":
    run(app)
