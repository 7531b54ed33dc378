"""Tells people of alerts by mail, chat or webhook (apprise). An offset is committed only when everybody was told."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from prometheus_client import Counter

from stream_apps.notices import Message, Outbox
from weir import connections, topics
from weir.events import Alert
from weir.settings import Settings

log = logging.getLogger("weir.alerts")

GROUP = "weir-notify"
POLL_MS = 500
_alert = msgspec.json.Decoder(Alert)

notices_total = Counter("weir_notices", "Messages to people by outcome", ["outcome"])


class Notifier:
    """Reads `alerts` in a consumer group of its own: what was not told before a crash is told after it."""

    def __init__(self, config: Settings) -> None:
        self._kafka = connections.aiokafka(config)
        self._urls = config.notify.split()
        self._outbox = Outbox(config.notify_severity)
        self._stop = asyncio.Event()
        #: Set once new alerts are read.
        self.reading = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if there is anybody to tell."""
        if self._urls:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._stop.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=3)

    async def _run(self) -> None:
        sender = self._sender()
        consumer = AIOKafkaConsumer(
            topics.ALERTS, **self._kafka, group_id=GROUP, enable_auto_commit=False,
            auto_offset_reset="latest",
        )  # fmt: skip
        await consumer.start()
        try:
            while not self._stop.is_set():
                if consumer.assignment():
                    await consumer.position(next(iter(consumer.assignment())))
                    self.reading.set()
                await self._round(consumer, sender)
        finally:
            await consumer.stop()

    async def _round(self, consumer: AIOKafkaConsumer, sender: Any) -> None:
        for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
            for record in records:
                try:
                    self._outbox.take(_alert.decode(record.value or b""), _now())
                except msgspec.DecodeError as error:
                    log.warning("a record of %s could not be read: %s", topics.ALERTS, error)
        message = self._outbox.due(_now())
        if message is not None:
            await self._send(sender, message)
        if not self._outbox.waiting:
            try:
                await consumer.commit()
            except KafkaError as error:
                log.warning("what was told could not be noted (%s): it may be told again", error)

    async def _send(self, sender: Any, message: Message) -> None:
        if await asyncio.to_thread(sender.notify, title=message.title, body=message.body):
            notices_total.labels("sent").inc()
            self._outbox.sent(_now())
        else:
            notices_total.labels("failed").inc()
            log.warning("a notice could not be delivered to everybody: trying again")
            self._outbox.failed(_now())

    def _sender(self) -> Any:
        import apprise  # takes half a second, and most installations have nobody to tell

        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines hold addresses and tokens
        sender = apprise.Apprise()
        wrong = sum(not sender.add(url) for url in self._urls)
        if wrong:
            log.error("%d of the %d addresses in WEIR_NOTIFY are none that apprise knows", wrong, len(self._urls))
        return sender


def _now() -> int:
    return time.time_ns() // 1_000_000
