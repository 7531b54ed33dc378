"""Readings of an import on their way: to Kafka as frames, and no further ahead of the archive than agreed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg2
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy.imports.rows import Bad
from stream_apps.received import ReceivedCounter
from weir import connections, topics
from weir.errors import SetupError
from weir.readings import Reading, encode, encode_frame
from weir.settings import Settings

FRAME_READINGS = 1000
#: A value is some 25 bytes of JSON, and a record stays well below Kafka's 1 MB.
FRAME_VALUES = 8000
POLL_S = 0.25
#: The archive has stood still for so long: something is wrong.
STUCK_S = 120.0
_STORED = "SELECT partition, next_offset FROM ledger_records WHERE topic = %s"


def frames(readings: list[Reading], partition: Callable[[str], int]) -> Iterator[tuple[int, list[Reading]]]:
    """Cut readings into frames of one partition each, in order (pure)."""
    open_frames: dict[int, list[Reading]] = {}
    sizes: dict[int, int] = {}
    for reading in readings:
        place = partition(reading.sensor)
        frame = open_frames.setdefault(place, [])
        size = sizes.get(place, 0) + len(reading.metrics)
        if frame and (len(frame) >= FRAME_READINGS or size > FRAME_VALUES):
            yield place, frame
            frame = open_frames[place] = []
            size = len(reading.metrics)
        frame.append(reading)
        sizes[place] = size
    yield from open_frames.items()


class Sender:
    """Sends frames and dead letters with an idempotent producer, counts them for the ledger, and waits for the archive.

    At most `ahead` readings are in Kafka and not stored: what is live goes through the same partitions and would wait
    behind them. Used as an asynchronous context.
    """

    def __init__(self, config: Settings, ahead: int) -> None:
        self._config = config
        self._ahead = ahead
        self._received = ReceivedCounter(config.redis_url)
        self._partitions: dict[str, int] = {}
        self._waiting: dict[int, deque[tuple[int, int]]] = {}
        self.unstored = 0

    async def __aenter__(self) -> Sender:
        # The stored offsets are asked for first: without Postgres nothing is sent.
        await asyncio.to_thread(self._stored)
        self._producer: Any = AIOKafkaProducer(
            **connections.aiokafka(self._config), acks="all", enable_idempotence=True, compression_type="lz4",
            max_batch_size=1_000_000, max_request_size=3_000_000,
        )  # fmt: skip
        try:
            await self._producer.start()
        except (KafkaError, OSError) as error:
            await self._producer.stop()
            raise SetupError(f"Kafka does not answer ({error}): is Weir running? See `weir status`") from error
        await self._received.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()
        await self._received.stop()

    async def send(self, readings: list[Reading], bad: list[Bad], file: str, rx: int) -> None:
        """Return when Kafka has all of it. `rx`: the time of receipt of all of them (ms)."""
        minute = rx - rx % 60_000
        sent: list[tuple[int, int, Awaitable[Any]]] = []
        for place, frame in frames(readings, self._partition):
            future = await self._producer.send(topics.READINGS, encode_frame(frame), partition=place)
            sent.append((place, len(frame), future))
        letters = [
            await self._producer.send(
                topics.DEAD_LETTERS, encode(one.letter(file, rx)), key=f"import:{file}".encode()
            )
            for one in bad
        ]  # fmt: skip
        for place, count, future in sent:
            offset = (await future).offset
            self._waiting.setdefault(place, deque()).append((offset, count))
            self.unstored += count
        for future in letters:
            await future
        if readings or bad:
            self._received.add({minute: len(readings) + len(bad)})

    async def keep_up(self, ahead: int | None = None) -> None:
        """Wait until no more than `ahead` readings are unstored. Raises `SetupError` where nothing moves."""
        most = self._ahead if ahead is None else ahead
        moved = time.monotonic()
        while self.unstored > most:
            before = self.unstored
            self._settle(await asyncio.to_thread(self._stored))
            if self.unstored < before:
                moved = time.monotonic()
            elif time.monotonic() - moved > STUCK_S:
                raise SetupError("the archive stores nothing (`weir status`, `weir logs spark`): run the import again")
            if self.unstored > most:
                await asyncio.sleep(POLL_S)

    def _settle(self, stored: dict[int, int]) -> None:
        for place, waiting in self._waiting.items():
            while waiting and waiting[0][0] < stored.get(place, 0):
                self.unstored -= waiting.popleft()[1]

    def _stored(self) -> dict[int, int]:
        try:
            connection = psycopg2.connect(self._config.dsn("reader"), connect_timeout=5)
            try:
                with connection.cursor() as cursor:
                    cursor.execute(_STORED, (topics.READINGS,))
                    return dict(cursor.fetchall())
            finally:
                connection.close()
        except psycopg2.Error as error:
            raise SetupError(f"Postgres does not answer: is Weir running? See `weir status` ({error})") from error

    def _partition(self, sensor: str) -> int:
        known = self._partitions.get(sensor)
        if known is None:
            known = self._partitions[sensor] = topics.partition_of(sensor, self._config.partitions)
        return known
