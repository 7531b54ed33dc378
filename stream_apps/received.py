"""Counts in Redis, per minute of arrival, what the bridge has handed to Kafka. The ledger compares with it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from weir import keys

log = logging.getLogger("weir.bridge")

FLUSH_S = 0.5
# A flush whose answer was lost is sent again with the same number, and must not count twice.
_ADD_ONCE = """
if redis.call('HGET', KEYS[2], 'flush') == ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], 'flush', ARGV[1])
redis.call('EXPIRE', KEYS[2], 86400)
for i = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""


class ReceivedCounter:
    """Adds up in memory, and writes to Redis twice a second. One small number per minute: memory is bounded."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pending: dict[int, int] = {}
        self._sending: dict[int, int] = {}
        self._key = keys.bridge(uuid.uuid4().hex[:12])
        self._broker: dict[str, int] = {}
        self._flushes = 0
        self._down = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._redis = redis.from_url(self._url, socket_timeout=5)
        self._task = asyncio.create_task(self._run())

    def add(self, received: dict[int, int]) -> None:
        """`received`: minute of arrival (ms) -> how many."""
        for minute, count in received.items():
            self._pending[minute] = self._pending.get(minute, 0) + count

    def broker(self, numbers: Mapping[str, int]) -> None:
        """What Mosquitto says of itself, by name; written with the next flush."""
        self._broker.update(numbers)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._flush_once()
        await self._redis.aclose()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self._flush_once()

    async def _flush_once(self) -> None:
        if not self._sending:
            self._sending, self._pending = self._pending, {}
            self._flushes += 1
        if not self._sending and not self._broker:
            return
        arguments = [str(self._flushes)]
        for minute, count in self._sending.items():
            arguments += [str(minute), str(count)]
        try:
            if self._sending:
                await self._redis.eval(_ADD_ONCE, 2, keys.RECEIVED, self._key, *arguments)
            if self._broker:
                numbers: dict[Any, Any] = {**self._broker, "at": time.time_ns() // 1_000_000}
                await self._redis.hset(keys.BROKER, mapping=numbers)
                self._broker = {}
        except (RedisError, OSError) as error:
            if not self._down:
                log.warning("Redis is away (%s): the ledger's counts wait in memory", error)
            self._down = True
        else:
            self._down = False
            self._sending = {}
