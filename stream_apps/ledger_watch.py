"""Watches the ledger and Mosquitto: a difference that lasts, and a message that was dropped, are alerts.

It also copies the bridge's counts from Redis to Postgres, so that the ledger outlives Redis, and lets Redis forget
what is older than two days.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from typing import Any

import psycopg2
import redis
from prometheus_client import Gauge
from psycopg2.extras import execute_values
from redis.exceptions import RedisError

from stream_apps.book import EVERYWHERE, Held
from stream_apps.conditions import Cause
from weir import keys
from weir.ledger import QUERY, Minute, merge, missing, totals
from weir.settings import Settings

log = logging.getLogger("weir.alerts")

DAY_MS = 86_400_000
KEEP_MS = 2 * DAY_MS
#: After Mosquitto has dropped something, the alert stays for this long.
DROP_MS = 10 * 60_000

readings_day = Gauge(
    "weir_ledger_last_day", "Readings that arrived in the last 24 h, by what became of them", ["state"]
)
never_arrived = Gauge("weir_ledger_never_arrived", "Readings that never arrived, by their sensors' counters")
broker = Gauge("weir_mosquitto", "What Mosquitto says of itself in $SYS", ["what"])
disk_free = Gauge("weir_disk_free_bytes", "Free space where Weir keeps its data")

#: Crossings more than so long past are over.
_CROSSINGS = """
SELECT site, sensor, metric, above, level, (extract(epoch FROM at) * 1000)::bigint, probability,
       (extract(epoch FROM made) * 1000)::bigint, metrics -> metric ->> 'unit'
FROM crossings JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE at > now() - interval '5 minutes'"""
_ABSENT = "SELECT coalesce(sum(absent), 0)::bigint FROM sequences WHERE absent > 0"
_COPY = """
INSERT INTO ledger (minute, received) VALUES %s
ON CONFLICT (minute) DO UPDATE SET received = greatest(ledger.received, excluded.received)"""


@dataclass(frozen=True)
class Findings:
    """What one look found. `gap`, `dropped`: what to tell people, None if there is nothing."""

    gap: Held | None
    dropped: Held | None
    crossings: dict[Cause, Held]

    def conditions(self) -> dict[str, dict[Cause, Held]]:
        """By rule, what is abnormal now."""
        own = {"ledger": self.gap, "broker": self.dropped}
        found = {rule: {Cause(EVERYWHERE, "", "", rule): held} if held else {} for rule, held in own.items()}
        return {**found, "forecast": self.crossings}


def gap(minutes: list[Minute], now: int) -> Held | None:
    """The alert for the settled minutes with a difference (pure)."""
    bad = missing(minutes, now)
    if not bad:
        return None
    count = sum(one.missing for one in bad)
    first, last = bad[0].minute, bad[-1].minute + 60_000
    text = f"{count} readings that arrived from {_clock(first)} to {_clock(last)} UTC are neither stored nor refused"
    return Held(first, now, "critical", text)


def warning(row: tuple[Any, ...], now: int) -> tuple[Cause, Held]:
    """The early warning for a row of `crossings` (pure)."""
    site, sensor, metric, above, level, at, probability, made, unit = row
    limit = f"{level:g} {unit}" if unit else f"{level:g}"
    what = f"{'rise above' if above else 'fall below'} {limit}"
    text = f"{metric} is forecast to {what} at about {_clock(at)} UTC ({100 * probability:.0f} %)"
    return Cause(site, sensor, metric, "forecast"), Held(made, now, "warning", text)


class Drops:
    """Follows Mosquitto's own count of dropped messages (pure)."""

    def __init__(self) -> None:
        self._count = 0
        self._seen: Held | None = None

    def take(self, count: int, now: int) -> Held | None:
        """`count`: dropped since Mosquitto started. A lower count is a new start."""
        if count > self._count:
            opened = self._seen.opened if self._seen else now
            text = f"Mosquitto has dropped {count} messages: the bridge is too slow, or max_queued_messages too low"
            self._seen = Held(opened, now, "critical", text)
        self._count = count
        if self._seen is not None and now - self._seen.at > DROP_MS:
            self._seen = None
        return self._seen


class LedgerWatch:
    """Blocking: call `look` in a thread. While Redis or Postgres is away it finds nothing, and says so once."""

    def __init__(self, config: Settings) -> None:
        self._dsn = config.dsn("writer")
        self._home = config.home
        self._redis: Any = redis.Redis.from_url(config.redis_url, socket_timeout=5, socket_connect_timeout=2)
        self._connection: Any = None
        self._drops = Drops()
        self._down = False

    def look(self, now: int) -> Findings | None:
        """Compare what was received with what became of it, at `now` (ms)."""
        try:
            findings = self._look(now)
        except (RedisError, psycopg2.Error, OSError) as error:
            if not self._down:
                log.warning("the ledger cannot be judged (%s)", str(error).strip())
            self._down = True
            self.close()
            return None
        self._down = False
        return findings

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _look(self, now: int) -> Findings:
        received = {int(minute): int(count) for minute, count in self._redis.hgetall(keys.RECEIVED).items()}
        system = {name.decode(): int(count) for name, count in self._redis.hgetall(keys.BROKER).items()}
        if self._connection is None:
            self._connection = psycopg2.connect(
                self._dsn, connect_timeout=3, options="-c statement_timeout=5000", application_name="weir-ledger"
            )
        with self._connection as transaction, transaction.cursor() as cursor:
            if received:
                execute_values(cursor, _COPY, list(received.items()), template="(to_timestamp(%s / 1000.0), %s)")
            cursor.execute(QUERY, ((now - DAY_MS) / 1000,))
            minutes = merge(received, cursor.fetchall())
            cursor.execute(_ABSENT)
            (absent,) = cursor.fetchone()
            cursor.execute(_CROSSINGS)
            crossings = dict(warning(row, now) for row in self._not_retired(cursor.fetchall()))
        old = [minute for minute in received if minute < now - KEEP_MS]
        if old:
            self._redis.hdel(keys.RECEIVED, *old)
        self._measure(minutes, absent, system, now)
        return Findings(gap(minutes, now), self._drops.take(system.get("dropped", 0), now), crossings)

    def _not_retired(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Rows that begin with site and sensor; a retired sensor that was heard again is on the live picture again."""
        fields = [f"{site}/{sensor}" for site, sensor, *_ in rows]
        if not fields:
            return []
        retired, live = (self._redis.hmget(key, fields) for key in (keys.RETIRED, keys.LATEST))
        return [row for row, gone, there in zip(rows, retired, live, strict=True) if gone is None or there is not None]

    def _measure(self, minutes: list[Minute], absent: int, system: dict[str, int], now: int) -> None:
        found = totals([one for one in minutes if one.minute >= now - DAY_MS], now)
        for state in ("received", "stored", "dead_lettered", "duplicate", "missing", "pending"):
            readings_day.labels(state).set(getattr(found, state))
        never_arrived.set(absent)
        disk_free.set(shutil.disk_usage(self._home).free)
        for what, count in system.items():
            broker.labels(what).set(count)


def _clock(ms: int) -> str:
    minutes = ms // 60_000 % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
