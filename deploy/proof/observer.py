"""Watches a load from outside at four stages, as any consumer would: no worker is asked what it thinks of itself.

- `kafka`: a consumer of one partition of `readings` has it
- `flag`: a consumer of `anomalies` has the flag
- `latest`: Redis has announced it, and it can be read there
- `stored`: Postgres shows it to another connection
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import closing
from typing import Any

import msgspec
import psycopg2
import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.exceptions import RedisError

from deploy.proof.delays import Delays, Progress
from edge.plan import Plan
from weir import connections, keys, topics
from weir.events import Flag
from weir.live import Latest
from weir.readings import decode_frame
from weir.settings import Settings

log = logging.getLogger("weir.proof")

STAGES = ("kafka", "flag", "latest", "stored")
#: Sensors looked at in Redis and Postgres.
WATCHED = 16
STORED_EVERY_S = 0.1
FETCH_WAIT_MS = 20
RETRY_S = 0.5
_latest = msgspec.json.Decoder(Latest)
_changes = msgspec.json.Decoder(list[str])
_flag = msgspec.json.Decoder(Flag)
_SERIES = """
SELECT sensor, series_id FROM series JOIN sensors USING (sensor_id)
WHERE site = %s AND metric = %s AND sensor = ANY(%s)"""
_NEWEST = """
SELECT w.series_id, (extract(epoch FROM r.ts) * 1000)::bigint
FROM unnest(%s::int[], %s::bigint[]) AS w(series_id, since)
CROSS JOIN LATERAL (
    SELECT ts FROM readings WHERE readings.series_id = w.series_id
    AND ts > 'epoch'::timestamptz + w.since * interval '1 millisecond' ORDER BY ts DESC LIMIT 1) r"""


class Observer:
    """Watches while it is open, in a thread of its own."""

    def __init__(self, config: Settings, plan: Plan) -> None:
        self._config = config
        self._plan = plan
        self._sensors = sorted({i * plan.sensors // WATCHED for i in range(WATCHED)})
        self.kafka = Delays()
        self.flag = Delays()
        self.latest = Progress(plan, self._sensors)
        self.stored = Progress(plan, self._sensors)
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._poll = threading.Thread(target=self._watch_stored, daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        self._poll.start()
        self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._poll.join()

    def delays(self) -> dict[str, Delays]:
        """By stage."""
        return {"kafka": self.kafka, "flag": self.flag, "latest": self.latest.delays, "stored": self.stored.delays}

    def summary(self) -> dict[str, dict[str, float] | None]:
        """Percentiles by stage, ms; None where nothing was seen."""
        return {name: delays.summary() for name, delays in self.delays().items()}

    async def _run(self) -> None:
        works = [asyncio.create_task(work) for work in (self._watch_topics(), self._watch_redis())]
        while not self._stop.is_set():
            await asyncio.sleep(0.2)
            for work in works:
                if work.done():
                    work.result()
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    async def _watch_topics(self) -> None:
        # Short fetches: one that finds the idle topic alone would hold up the busy one until it has waited its time.
        consumer = AIOKafkaConsumer(
            **connections.aiokafka(self._config), enable_auto_commit=False, fetch_max_wait_ms=FETCH_WAIT_MS
        )
        await consumer.start()
        flags = [TopicPartition(topics.ANOMALIES, i) for i in range(self._config.partitions)]
        consumer.assign([TopicPartition(topics.READINGS, 0), *flags])
        await consumer.seek_to_end()
        self._ready.set()
        try:
            while True:
                for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                    at = time.time() * 1000
                    take = self._readings if partition.topic == topics.READINGS else self._flags
                    for record in records:
                        take(record.value or b"", at)
        finally:
            await consumer.stop()

    def _readings(self, value: bytes, at: float) -> None:
        site = self._plan.site
        for reading in decode_frame(value):
            if reading.site == site and not reading.hist:
                self.kafka.add(at - reading.ts)

    def _flags(self, value: bytes, at: float) -> None:
        flag = _flag.decode(value)
        if flag.site == self._plan.site and flag.ts >= self._plan.start:
            self.flag.add(at - flag.ts)

    async def _watch_redis(self) -> None:
        client: Any = redis.from_url(self._config.redis_url)
        fields = {f"{self._plan.site}/{name}": name for name in self.latest.sensors}
        try:
            while True:
                try:
                    async with client.pubsub() as channel:
                        await channel.subscribe(keys.CHANGES)
                        async for message in channel.listen():
                            if message["type"] == "message":
                                await self._announced(client, message["data"], fields)
                except (RedisError, OSError) as error:
                    log.info("Redis is away (%s): listening again", error)
                    await asyncio.sleep(RETRY_S)
        finally:
            await client.aclose()

    async def _announced(self, client: Any, data: bytes, fields: dict[str, str]) -> None:
        mine = [field for field in fields.keys() & set(_changes.decode(data))]
        if not mine:
            return
        values = await client.hmget(keys.LATEST, mine)
        at = time.time() * 1000
        for field, value in zip(mine, values, strict=True):
            if value is not None:
                self.latest.seen(fields[field], _latest.decode(value).ts, at)

    def _watch_stored(self) -> None:
        while not self._stop.is_set():
            try:
                connection = psycopg2.connect(self._config.dsn("reader"), connect_timeout=3)
                # Not `with connection`: it would open a transaction, and hold the lock that a new partition waits for.
                connection.autocommit = True
                with closing(connection), connection.cursor() as cursor:
                    self._poll_stored(cursor)
            except psycopg2.Error as error:
                log.info("Postgres is away (%s): asking again", str(error).strip().splitlines()[:1])
                self._stop.wait(RETRY_S)

    def _poll_stored(self, cursor: Any) -> None:
        ids: dict[int, str] = {}
        stored = self.stored
        while not self._stop.wait(STORED_EVERY_S):
            if len(ids) < len(stored.sensors):
                cursor.execute(_SERIES, (self._plan.site, self._plan.metric_names[0], stored.sensors))
                ids = {series: sensor for sensor, series in cursor.fetchall()}
            since = [max(self._plan.start - 1, stored.newest(name)) for name in ids.values()]
            cursor.execute(_NEWEST, (list(ids), since))
            found, at = cursor.fetchall(), time.time() * 1000
            for series, ts in found:
                stored.seen(ids[series], ts, at)
