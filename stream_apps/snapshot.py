"""A worker's state and the offset it stands for, kept in Redis as one value so that they cannot disagree.

The value is a list: the offset, then the state in pieces. The pieces are put together under a name of their own, since
Redis serves nobody while it takes a command, and a large fleet's state in one would hold everybody up; at the end one
short command shows the whole.

A worker that was frozen (SIGSTOP) and wakes up still holds old state. So a write is fenced: Redis refuses an offset
lower than the one it has. State is a function of the records read, so a pair with a higher offset is always good.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from weir import keys

log = logging.getLogger("weir.snapshot")

#: The header: the next offset to read, in decimal digits, so that Lua compares it without reading the state.
HEADER = 20
RETRY_S = 1.0
#: Bytes of a piece: less than a millisecond of Redis' time.
PIECE = 256 * 1024
#: Pieces of a worker that died are gone after so many seconds.
_LEFT_S = 120
# Earlier versions kept one string.
_SHOW = f"""
local kind = redis.call('TYPE', KEYS[1]).ok
local head = kind == 'list' and redis.call('LINDEX', KEYS[1], 0)
    or kind == 'string' and redis.call('GETRANGE', KEYS[1], 0, {HEADER - 1})
local held = head and tonumber(head)
if held and held > tonumber(ARGV[1]) then
    redis.call('UNLINK', KEYS[2])
    return 0
end
redis.call('UNLINK', KEYS[1])
redis.call('RENAME', KEYS[2], KEYS[1])
redis.call('PERSIST', KEYS[1])
return 1
"""


def pack(offset: int, state: bytes) -> bytes:
    """`offset` is the next one to read, 0 or more."""
    return b"%0*d" % (HEADER, offset) + state


def unpack(value: bytes) -> tuple[int, bytes]:
    """The reverse of `pack`. Raises `ValueError` if `value` is no snapshot."""
    head = value[:HEADER]
    if len(head) < HEADER or not head.isdigit():
        raise ValueError("not a snapshot")
    return int(head), value[HEADER:]


class Snapshots:
    """Snapshots by partition. Redis may go away: a save then returns None, is counted, and logged once."""

    def __init__(self, url: str, key: Callable[[int], str] = keys.window) -> None:
        self._redis: Any = redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)
        self._key = key
        self._down = False
        self.failures = 0
        self.fenced = 0

    async def save(self, partition: int, offset: int, state: bytes) -> bool | None:
        """True if kept, False if refused since Redis holds a higher offset, None if Redis is away."""
        head = pack(offset, b"")
        try:
            building = f"{self._key(partition)}:{secrets.token_hex(4)}"
            begin = self._redis.pipeline()
            begin.rpush(building, head)
            begin.expire(building, _LEFT_S)
            await begin.execute()
            for at in range(0, len(state), PIECE):
                await self._redis.rpush(building, state[at : at + PIECE])
            kept = bool(await self._redis.eval(_SHOW, 2, self._key(partition), building, head))
        except (RedisError, OSError) as error:
            self._failed(error)
            return None
        self._back()
        if not kept:
            self.fenced += 1
            log.warning("the snapshot of partition %d at offset %d is older than the one kept", partition, offset)
        return kept

    async def load(self, partition: int, patience_s: float = 20.0) -> tuple[int, bytes] | None:
        """The offset and the state, or None if there is none. Waits up to `patience_s` for Redis, then gives up."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + patience_s
        while True:
            try:
                value = await self._read(self._key(partition))
                self._back()
                return None if value is None else unpack(value)
            except ValueError as error:
                log.warning("partition %d: what Redis holds is %s; starting without it", partition, error)
                return None
            except (RedisError, OSError) as error:
                self._failed(error)
                if clock() >= deadline:
                    log.error("partition %d: no snapshot, Redis stayed away; starting without state", partition)
                    return None
            await asyncio.sleep(RETRY_S)

    async def _read(self, key: str) -> bytes | None:
        if await self._redis.type(key) == b"string":
            return await self._redis.get(key)
        return b"".join(await self._redis.lrange(key, 0, -1)) or None

    async def forget(self, partition: int) -> None:
        """Remove a snapshot that no longer fits its topic. Away is as good as gone: the next load tries again."""
        try:
            await self._redis.delete(self._key(partition))
        except (RedisError, OSError) as error:
            self._failed(error)

    async def close(self) -> None:
        await self._redis.aclose()

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        if not self._down:
            log.warning("Redis is away (%s): going on without snapshots", error)
        self._down = True

    def _back(self) -> None:
        if self._down:
            log.info("Redis is back")
        self._down = False
