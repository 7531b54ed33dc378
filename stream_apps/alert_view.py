"""What the alert worker reads from and shows in Redis, and its own past in Kafka."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.exceptions import RedisError

from stream_apps.book import EVERYWHERE
from stream_apps.lifecycle import Lifecycle
from weir import connections, keys, topics
from weir.events import Alert
from weir.readings import encode
from weir.settings import Settings

log = logging.getLogger("weir.alerts")

#: The live alerts are written again after so many rounds even if none changed, in case Redis has lost them.
REPAIR = 15


class Heard(msgspec.Struct, frozen=True):
    """The part of `weir.live.Latest` that tells when a sensor was heard."""

    ts: int
    rx: int


_heard = msgspec.json.Decoder(Heard)
_alert = msgspec.json.Decoder(Alert)


class AlertView:
    """`fresh` tells whether the last `read` succeeded: if not, nobody can say who is silent."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)
        self.fresh = False
        self._down = False
        self._live: list[Alert] = []
        self._changes: dict[str, None] = {}
        self._dirty = True
        self._rounds = 0

    async def read(self, life: Lifecycle) -> None:
        """Tell `life` when each sensor was heard last, and whether its connection is lost."""
        try:
            latest = await self._redis.hgetall(keys.LATEST)
            states = await self._redis.hgetall(keys.STATES)
            retired = await self._redis.hgetall(keys.RETIRED)
        except (RedisError, OSError) as error:
            self.fresh = False
            self._failed(error)
            return
        for field, value in latest.items():
            site, _, sensor = field.decode().partition("/")
            heard = _heard.decode(value)
            life.seen(site, sensor, heard.ts, heard.rx)
        for field, state in states.items():
            site, _, sensor = field.decode().partition("/")
            life.state(site, sensor, state.decode())
        for field, at in retired.items():
            site, _, sensor = field.decode().partition("/")
            life.retire(site, sensor, int(at))
        self.fresh = True

    def changed(self, life: Lifecycle, transitions: list[Alert]) -> None:
        """Note what `write` is to show."""
        self._live = life.live()
        self._dirty = True
        for alert in transitions:
            if alert.sensor:
                self._changes[f"{alert.site}/{alert.sensor}"] = None
            else:
                fields = (f"{site}/{name}" for site, name in life.book.sensors if alert.site in (site, EVERYWHERE))
                self._changes.update(dict.fromkeys(fields))

    async def write(self) -> int:
        """Show the live alerts if they changed; returns how many there are."""
        self._rounds += 1
        if not self._dirty and self._rounds % REPAIR:
            return len(self._live)
        pipe = self._redis.pipeline(transaction=True)
        pipe.delete(keys.LIVE_ALERTS)
        if self._live:
            pipe.hset(keys.LIVE_ALERTS, mapping={alert.id: encode(alert) for alert in self._live})
        if self._changes:
            pipe.publish(keys.CHANGES, encode(list(self._changes)))
        try:
            await pipe.execute()
        except (RedisError, OSError) as error:
            self._failed(error)
        else:
            if self._down:
                log.info("Redis is back")
            self._dirty = self._down = False
            self._changes = {}
        return len(self._live)

    async def close(self) -> None:
        await self._redis.aclose()

    def _failed(self, error: BaseException) -> None:
        if not self._down:
            log.warning("Redis is away (%s): silences are not judged until it is back", error)
        self._down = self._dirty = True


async def past_alerts(config: Settings) -> AsyncIterator[Alert]:
    """Every record of the `alerts` topic as it stands now, oldest first within each partition."""
    consumer = AIOKafkaConsumer(**connections.aiokafka(config), enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topics.ALERTS, p) for p in consumer.partitions_for_topic(topics.ALERTS) or ()]
        if not partitions:
            partitions = [TopicPartition(topics.ALERTS, p) for p in await _partitions(consumer)]
        ends = {tp: end for tp, end in (await consumer.end_offsets(partitions)).items() if end}
        if ends:
            consumer.assign(list(ends))
            await consumer.seek_to_beginning(*ends)
        while ends:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    alert = _parsed(record)
                    if alert is not None:
                        yield alert
            done = [tp for tp, end in ends.items() if await consumer.position(tp) >= end]
            for tp in done:
                del ends[tp]
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer) -> set[int]:
    """A consumer without subscription knows no topic until it is told of one."""
    await consumer._client.add_topic(topics.ALERTS)
    return consumer.partitions_for_topic(topics.ALERTS) or set()


def _parsed(record: Any) -> Alert | None:
    if not record.value:
        return None
    try:
        return _alert.decode(record.value)
    except msgspec.DecodeError as error:
        log.warning("record %d of `alerts` is no alert: %s", record.offset, error)
        return None
