"""`weir bench queries`: synthetic years into Postgres, compacted as the keeper does, then every query timed."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg2
from psycopg2.extensions import connection as Connection

from deploy.bench.bridge import servers
from deploy.bench.runlog import Row
from spark_jobs import chunk, coarser
from spark_jobs.database import Database
from spark_jobs.keeper import Keeper
from spark_jobs.partitions import ensure_partition
from weir.settings import Settings

DAY_MS = 86_400_000
#: A hundred sensors of three metrics, a reading a minute with up to 400 ms of jitter.
SENSORS, METRICS, CADENCE_MS, JITTER_MS = 100, ("temperature", "humidity", "pressure"), 60_000, 400
#: What each looks like: mean, daily swing, noise, decimals.
SHAPES = ((12.0, 6.0, 0.2, 2), (60.0, 15.0, 1.0, 1), (952.0, 3.0, 0.3, 1))
SITES = 5
ROUNDS = 200
#: Seconds between the readings of a sensor -> sensors, for what raw readings cost: about 860,000 points a day.
CADENCES = {2: 7, 10: 33, 60: 200, 300: 1000}

_ROLLED = "COPY readings_5m (series_id, bucket, n, mean, min, max, stddev, first, last) FROM STDIN"
_BYTES = "SELECT coalesce(sum(table_bytes + index_bytes), 0)::float8 FROM storage_partitions WHERE parent = %s"


@dataclass(frozen=True)
class Result:
    """What was measured; `queries`: name -> p50 and p99 in ms, at the client, warm; `raw_by_cadence`: seconds between
    the readings of a sensor -> bytes a point of a day of them, with its index."""

    points: int
    bytes_per_point_raw: float
    bytes_per_point_compacted: float
    loaded_s: float
    queries: dict[str, dict[str, float]]
    raw_by_cadence: dict[int, float]

    def as_dict(self) -> dict[str, Any]:
        return {
            "points": self.points,
            "bytes_per_point_raw": round(self.bytes_per_point_raw, 1),
            "bytes_per_point_compacted": round(self.bytes_per_point_compacted, 2),
            "bytes_per_point_raw_by_cadence_s": {str(k): round(v, 1) for k, v in self.raw_by_cadence.items()},
            "loaded_s": round(self.loaded_s, 1),
            "queries": {
                name: {what: round(ms, 2) for what, ms in found.items()} for name, found in self.queries.items()
            },
        }


def run(points: int, port_base: int, say: Callable[[str], None]) -> Result:
    """On servers of its own, taken away afterwards."""
    with servers((), port_base) as (_, config):
        began = time.monotonic()
        raw, compacted, stored = fill(config, points, say)
        took = time.monotonic() - began
        return Result(stored, raw, compacted, took, measure(config), raw_by_cadence(config))


def table(found: Result) -> list[Row]:
    """Rows for the run log."""
    rows: list[Row] = [
        ("raw, bytes a point with its index", f"{found.bytes_per_point_raw:.1f}", "90"),
        *(
            (f"raw, where a sensor reports every {cadence} s", f"{size:.1f}", "90")
            for cadence, size in found.raw_by_cadence.items()
        ),
        ("compacted, bytes a point with its index", f"{found.bytes_per_point_compacted:.2f}", "10"),
    ]
    for name, ms in found.queries.items():
        rows.append((f"`{name}`", f"p50 {ms['p50_ms']:.1f} ms, p99 {ms['p99_ms']:.1f} ms", "p99 10 ms"))
    return rows


def fill(config: Settings, points: int, say: Callable[[str], None] = lambda _: None) -> tuple[float, float, int]:
    """Load about `points` that end now; all but the last two days are sealed and compacted, as the keeper would.

    Returns bytes a point of raw (a whole day with its index) and of compacted readings, and how many were stored.
    """
    series = _series(config)
    per_day = len(series) * DAY_MS // CADENCE_MS
    days = max(3, round(points / per_day))
    now = int(time.time() * 1000)
    today = now - now % DAY_MS
    database = Database(config.dsn("writer"), "weir-bench")
    keeper = Keeper(config.model_copy(update={"compact_after": "24h"}), threading.Event())
    rng = np.random.default_rng(1)
    raw, stored = 0.0, 0
    database.run(lambda connection: _begin(connection, today - days * DAY_MS))
    for day in range(days, -1, -1):
        start = today - day * DAY_MS
        rows = database.run(lambda connection: _day(connection, series, start, now, rng))  # noqa: B023
        stored += rows
        if day == 2:
            raw = _raw_bytes(config, start, rows)
        if day % 10 == 0 or day < 3:
            keeper.seal()
            keeper.compact()
            say(f"{stored:,} points")
    database.run(lambda connection: _rest(connection, series, now))
    connection = psycopg2.connect(config.dsn("migrator"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")  # what autovacuum does in its time
        cursor.execute(_BYTES, ("readings_chunks",))
        (size,) = cursor.fetchone() or (0.0,)
        cursor.execute("SELECT sum(n) FROM readings_chunks")
        (chunked,) = cursor.fetchone() or (0,)
    connection.close()
    return raw, size / max(1, chunked or 0), stored


def _series(config: Settings) -> list[int]:
    connection = psycopg2.connect(config.dsn("writer"))
    with connection, connection.cursor() as cursor:
        found = []
        for n in range(SENSORS):
            cursor.execute(
                "INSERT INTO sensors (site, sensor) VALUES (%s, %s) RETURNING sensor_id",
                (f"site{n % SITES}", f"s{n:03}"),
            )
            (sensor,) = cursor.fetchone() or (0,)
            for metric in METRICS:
                cursor.execute(
                    "INSERT INTO series (sensor_id, metric) VALUES (%s, %s) RETURNING series_id", (sensor, metric)
                )
                found.append((cursor.fetchone() or (0,))[0])
    connection.close()
    return found


def _begin(connection: Connection, since: int) -> None:
    moment = _time(since)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rollup_reach SET swept = %s", (moment,))
        cursor.execute("UPDATE storage_state SET rolled_1h = %s, rolled_1d = %s", (moment, moment))


def _day(connection: Connection, series: list[int], start: int, now: int, rng: np.random.Generator) -> int:
    """One day of every series in the order of time, as the archive writes it, and its aggregates. Returns the rows."""
    ensure_partition(connection, _time(start))
    table = _readings(series, start, rng, CADENCE_MS)
    table = table[table["ts"] <= (now * 1000) - chunk.PG_EPOCH_US]
    end = min(start + DAY_MS, now)
    with connection.cursor() as cursor:
        data = chunk.COPY_HEAD + table.tobytes() + chunk.COPY_END
        cursor.copy_expert("COPY readings (series_id, ts, value) FROM STDIN WITH BINARY", io.BytesIO(data))
        swept = end - end % 300_000
        cursor.copy_expert(_ROLLED, io.StringIO("".join(_buckets(table, swept))))
        cursor.execute("UPDATE rollup_reach SET swept = %s", (_time(swept),))
        coarser.roll(cursor, _time(swept))
    return len(table)


def _readings(series: list[int], start: int, rng: np.random.Generator, cadence: int) -> np.ndarray:
    """Rows of a day of a reading of each sensor every `cadence` ms, in the order in which they are measured."""
    steps, sensors = DAY_MS // cadence, len(series) // len(METRICS)
    phases = np.arange(len(series)) // len(METRICS) * (cadence // sensors)
    at = np.arange(steps, dtype=np.int64)[:, None] * cadence + phases[None, :]
    jitter = np.repeat(rng.integers(0, JITTER_MS, (steps, sensors)), len(METRICS), axis=1)
    ts = start + at + jitter
    values = np.empty(ts.shape)
    for k, (mean, swing, noise, decimals) in enumerate(SHAPES):
        column = slice(k, None, len(SHAPES))
        daily = mean + swing * np.sin(2 * np.pi * at[:, column] / DAY_MS) + rng.normal(0, 1, sensors)
        values[:, column] = np.round(daily + rng.normal(0, noise, daily.shape), decimals)
    table = np.empty(ts.size, chunk.ROW)
    table["fields"], table["a"], table["b"], table["c"] = 3, 4, 8, 8
    table["series_id"] = np.tile(np.array(series), steps)
    table["ts"] = ts.ravel() * 1000 - chunk.PG_EPOCH_US
    table["value"] = values.ravel()
    return table


def _buckets(table: np.ndarray, until: int) -> Iterator[str]:
    """The 5-minute aggregates of a day's readings up to `until` (ms), as rows of COPY."""
    ts, series = table["ts"].astype(np.int64) + chunk.PG_EPOCH_US, table["series_id"].astype(np.int64)
    bucket = ts // 300_000_000 * 300_000_000
    known = bucket < until * 1000
    order = np.lexsort((ts[known], bucket[known], series[known]))
    series, bucket, value = (part[known][order] for part in (series, bucket, table["value"].astype(float)))
    edges = np.flatnonzero(np.diff(series, prepend=-1) | np.diff(bucket, prepend=-1))
    ends = np.append(edges[1:], len(series)) - 1
    n = ends - edges + 1
    mean = np.add.reduceat(value, edges) / n
    spread = np.add.reduceat((value - np.repeat(mean, n)) ** 2, edges) / np.maximum(n - 1, 1)
    columns = (series[edges], bucket[edges] // 1000, n, mean, np.minimum.reduceat(value, edges),
               np.maximum.reduceat(value, edges), np.sqrt(spread), value[edges], value[ends])  # fmt: skip
    for number, at, *figures in zip(*(column.tolist() for column in columns), strict=True):
        yield f"{number}\t{_time(at).isoformat()}\t" + "\t".join(map(repr, figures)) + "\n"


def raw_by_cadence(config: Settings) -> dict[int, float]:
    """Bytes a point of raw readings, with their index: it is the fuller, the more pages a series has in a day."""
    database, found = Database(config.dsn("writer"), "weir-bench"), {}
    rng, now = np.random.default_rng(2), int(time.time() * 1000)
    for ahead, (cadence, sensors) in enumerate(CADENCES.items(), start=10):
        start = now - now % DAY_MS + ahead * DAY_MS
        table = _readings(list(range(sensors * len(METRICS))), start, rng, cadence * 1000)
        data = chunk.COPY_HEAD + table.tobytes() + chunk.COPY_END

        def store(connection: Connection, start: int = start, data: bytes = data) -> None:
            ensure_partition(connection, _time(start))
            with connection.cursor() as cursor:
                cursor.copy_expert("COPY readings (series_id, ts, value) FROM STDIN WITH BINARY", io.BytesIO(data))

        database.run(store)
        found[cadence] = _raw_bytes(config, start, len(table))
    return found


def _raw_bytes(config: Settings, start: int, rows: int) -> float:
    name = _time(start).strftime("readings_%Y_%m_%d")
    with psycopg2.connect(config.dsn("reader")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size(%s::regclass)", (name,))
        (size,) = cursor.fetchone() or (0,)
    connection.close()
    return size / rows


def _rest(connection: Connection, series: list[int], now: int) -> None:
    """What the other queries read: latest values, flags, alerts with history, the ledger, dead letters."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO latest SELECT s, l.ts, l.value FROM unnest(%s) s CROSS JOIN LATERAL ("
            "SELECT ts, value FROM readings WHERE series_id = s AND ts > now() - interval '2 days' "
            "ORDER BY ts DESC LIMIT 1) l",
            (series,),
        )
        cursor.execute(
            "INSERT INTO anomalies SELECT s, now() - k * interval '6 hours', 1, 1, 0, 1, 0, 1, 100, 'iqr', 2, 'level', "
            "now() FROM unnest(%s) s, generate_series(1, 300) k",
            (series,),
        )
        cursor.execute(
            "INSERT INTO alerts SELECT 'a' || k, 'site' || k % 5, 's001', 'temperature', 'anomaly', 'warning', "
            "CASE WHEN k <= 20 THEN 'active' ELSE 'cleared' END, false, now() - k * interval '1 hour', "
            "now() - k * interval '1 hour', 2, 'hot', '', NULL FROM generate_series(1, 20000) k"
        )
        cursor.execute(
            "INSERT INTO alert_history SELECT 'a' || k, n, now() - k * interval '1 hour' + n * interval '1 minute', "
            "'active', false, '', 'hot' FROM generate_series(1, 20000) k, generate_series(1, 2) n"
        )
        cursor.execute(
            "INSERT INTO ledger SELECT date_trunc('minute', now()) - k * interval '1 minute', 300, 300, 0, 0, 0 "
            "FROM generate_series(0, 100000) k"
        )
        cursor.execute(
            "INSERT INTO dead_letters SELECT 'd' || k, 'weir/x', 'not_json', 'x', now() - k * interval '1 minute', 'x' "
            "FROM generate_series(1, 20000) k"
        )


def asked(series: list[int], now: int) -> dict[str, Callable[[Any, int], Any]]:
    """Every query of the dashboard by name; each takes the store and a round's number."""
    from web import queries, window

    hour = window.HOUR_MS

    def over(span: int) -> Callable[[Any, int], Any]:
        return lambda store, n: window.window(store, series[n * 7 % len(series)], now - span, now, now)

    spans = {"1h": hour, "6h": 6 * hour, "24h": 24 * hour, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS, "1y": 365 * DAY_MS}
    return {
        **{f"window_{name}": over(span) for name, span in spans.items()},
        "window_a_day_months_ago": lambda store, n: window.window(
            store, series[n * 7 % len(series)], now - 41 * DAY_MS, now - 40 * DAY_MS, now
        ),
        "latest": lambda store, n: queries.latest(store, f"site{n % SITES}"),
        "site_summary": lambda store, _: queries.site_summary(store, now - 180_000),
        "status_counts": lambda store, _: queries.status_counts(store, now - 180_000),
        "flags": lambda store, n: queries.flags(store, series[n * 7 % len(series)], now - 7 * DAY_MS, now),
        "late": lambda store, n: queries.late(store, series[n * 7 % len(series)], now - 7 * DAY_MS, now),
        "alert_history": lambda store, _: queries.alert_history(store),
        "ledger": lambda store, _: queries.ledger(store, {}, now - hour),
        "dead_letters": lambda store, _: queries.dead_letters(store),
        "dead_letter_counts": lambda store, _: queries.dead_letter_counts(store, now - DAY_MS),
    }


def measure(config: Settings, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """p50 and p99 in ms of each query over `rounds` calls after 20 to warm up, with all that Python adds."""
    from web.store import Store

    store = Store(config.dsn("reader"))
    series = [number for (number,) in store.rows("SELECT series_id FROM series ORDER BY 1")]
    found = {}
    for name, ask in asked(series, int(time.time() * 1000)).items():
        taken = []
        for n in range(20 + rounds):
            began = time.perf_counter()
            ask(store, n)
            taken.append((time.perf_counter() - began) * 1000)
        p50, p99 = np.percentile(taken[20:], [50, 99])
        found[name] = {"p50_ms": float(p50), "p99_ms": float(p99)}
    return found


def _time(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
