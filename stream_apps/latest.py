"""The live picture in Redis: latest values, flagged sensors, births and states, and the news of what changed.

The frame path only touches dictionaries (the newest entry of each sensor, so memory is bounded by the number of
sensors); a task writes them in batches. When Redis is away they wait, and only the newest of each sensor is kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Any

import msgspec
import redis.asyncio as redis
from redis.exceptions import RedisError

from stream_apps.detector_metrics import published_to_latest
from weir import keys
from weir.live import Latest
from weir.readings import Reading, encode

log = logging.getLogger("weir.latest")

FLUSH_S = 0.05
CHECK_S = 3.0
BATCH = 2000
# KEYS: LATEST, FLAGGED. ARGV: how many latest; then field, ts, JSON of each; then field, ts of each flagged sensor.
# The last *measured* wins: an older reading never replaces a newer one, whoever writes it.
_WRITE = """
local n = tonumber(ARGV[1])
local i = 2
for _ = 1, n do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  local ts = held and tonumber(string.match(held, '"ts":(%d+)'))
  if not ts or ts <= tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2]) end
  i = i + 3
end
while i <= #ARGV do
  local held = tonumber(redis.call('HGET', KEYS[2], ARGV[i]))
  if not held or held < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
  i = i + 2
end
return 1
"""


# KEYS: LATEST, BIRTHS, STATES, FLAGGED, RETIRED. ARGV: field, ms of each. A sensor heard since then stays.
_RETIRE = """
for i = 1, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  local rx = held and tonumber(string.match(held, '"rx":(%d+)'))
  if not rx or rx <= tonumber(ARGV[i + 1]) then
    for k = 1, 4 do redis.call('HDEL', KEYS[k], ARGV[i]) end
    redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 1])
  end
end
return 1
"""


class LiveCache:
    """What the map shows, written behind. Call from one event loop only."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)
        self._newest: dict[str, int] = {}
        self._latest: dict[str, Reading] = {}
        self._flagged: dict[str, int] = {}
        self._sensors: dict[tuple[str, str], bytes | str | None] = {}
        self._known: dict[tuple[str, str], bytes | str] = {}
        self._retired: dict[str, int] = {}
        self._run_id = ""
        self._checked = 0.0
        self._down = False
        self._task: asyncio.Task[None] | None = None
        self.failures = 0

    def readings(self, readings: list[Reading]) -> None:
        """Take a frame: the newest measured reading of each sensor is kept."""
        newest = self._newest
        for reading in readings:
            field = f"{reading.site}/{reading.sensor}"
            last = newest.get(field)
            if last is None or reading.ts > last:
                newest[field] = reading.ts
                self._latest[field] = reading
            elif reading.ts == last and field in self._latest:
                # One measurement, sent in two messages.
                held = self._latest[field]
                self._latest[field] = msgspec.structs.replace(reading, metrics={**held.metrics, **reading.metrics})

    def flagged(self, field: str, ts: int) -> None:
        """A reading of the sensor `field` ("<site>/<sensor>"), measured at `ts` (ms), was flagged."""
        self._flagged[field] = max(ts, self._flagged.get(field, 0))

    def sensor(self, key: str, field: str, value: bytes | str | None) -> None:
        """Set the birth (JSON) or state of a sensor; None removes it. `key` is keys.BIRTHS or keys.STATES."""
        self._sensors[key, field] = value
        if value is not None:
            self._retired.pop(field, None)
        if value is None:
            self._known.pop((key, field), None)
        else:
            self._known[key, field] = value

    def retired(self, field: str, at: int) -> None:
        """The sensor `field` ("<site>/<sensor>") was retired at `at` (ms): nothing of it is shown any more."""
        for key in (keys.BIRTHS, keys.STATES):
            self._known.pop((key, field), None)
            self._sensors.pop((key, field), None)
        self._newest.pop(field, None)
        self._latest.pop(field, None)
        self._flagged.pop(field, None)
        self._retired[field] = at

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what waits, once, and close."""
        if self._task is not None:
            self._task.cancel()
        await self._try(self._flush())
        await self._redis.aclose()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(FLUSH_S)
            if clock() - self._checked > CHECK_S:
                self._checked = clock()
                await self._try(self._check_restart())
            if self._latest or self._flagged or self._sensors or self._retired:
                await self._try(self._flush())

    async def _try(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (RedisError, OSError) as error:
            self.failures += 1
            if not self._down:
                log.warning("Redis is away (%s): the newest values wait in memory", error)
            self._down = True
            await asyncio.sleep(0.5)
        else:
            if self._down:
                log.info("Redis is back")
            self._down = False

    async def _check_restart(self) -> None:
        """A Redis that was restarted may have lost births and states, which sensors do not send again."""
        run_id = (await self._redis.info("server"))["run_id"]
        if self._run_id and run_id != self._run_id:
            log.info("Redis was restarted: writing births and states again")
            self._sensors = {**self._known, **self._sensors}
        self._run_id = run_id

    async def _flush(self) -> None:
        latest, self._latest = self._latest, {}
        flagged, self._flagged = self._flagged, {}
        sensors, self._sensors = self._sensors, {}
        try:
            await self._retire()
            for chunk in _chunks(latest, flagged, sensors):
                await self._write(*chunk)
        except (RedisError, OSError):
            # What came meanwhile is newer.
            self._latest = {**latest, **self._latest}
            for field, ts in flagged.items():
                self.flagged(field, ts)
            self._sensors = {**sensors, **self._sensors}
            raise

    async def _retire(self) -> None:
        if not self._retired:
            return
        arguments = [part for pair in self._retired.items() for part in pair]
        names = (keys.LATEST, keys.BIRTHS, keys.STATES, keys.FLAGGED, keys.RETIRED)
        await self._redis.eval(_RETIRE, len(names), *names, *arguments)
        await self._redis.publish(keys.CHANGES, encode(list(self._retired)))
        self._retired = {}

    async def _write(self, latest: _Latest, flagged: _Flagged, sensors: _Sensors) -> None:
        at = _now()
        arguments: list[Any] = [len(latest)]
        for field, r in latest:
            arguments += [field, r.ts, encode(Latest(r.site, r.sensor, r.ts, r.rx, at, r.metrics))]
        for field, ts in flagged:
            arguments += [field, ts]
        pipe = self._redis.pipeline(transaction=False)
        if latest or flagged:
            pipe.eval(_WRITE, 2, keys.LATEST, keys.FLAGGED, *arguments)
        for (key, field), value in sensors:
            if value is None:
                pipe.hdel(key, field)
            else:
                pipe.hset(key, field, value)
        changed = dict.fromkeys([f for f, _ in latest] + [f for f, _ in flagged] + [f for (_, f), _ in sensors])
        pipe.publish(keys.CHANGES, encode(list(changed)))
        await pipe.execute()
        announced = _now()
        for _, reading in latest:
            if not reading.hist:
                published_to_latest.observe(max(0, announced - reading.ts) / 1000)


_Latest = list[tuple[str, Reading]]
_Flagged = list[tuple[str, int]]
_Sensors = list[tuple[tuple[str, str], bytes | str | None]]


def _chunks(
    latest: dict[str, Reading], flagged: dict[str, int], sensors: dict[tuple[str, str], bytes | str | None]
) -> list[tuple[_Latest, _Flagged, _Sensors]]:
    a, b, c = list(latest.items()), list(flagged.items()), list(sensors.items())
    longest = max(len(a), len(b), len(c))
    return [(a[i : i + BATCH], b[i : i + BATCH], c[i : i + BATCH]) for i in range(0, longest, BATCH)]


def _now() -> int:
    return time.time_ns() // 1_000_000
