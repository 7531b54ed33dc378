"""How long the hourly forecasts of a whole fleet take, and one forecast on demand; on servers of their own."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg2

from deploy import environment
from deploy.bench.bridge import servers
from deploy.bench.runlog import Row
from spark_jobs import session
from spark_jobs.database import Database
from spark_jobs.forecasts import STEP_MS, run_once
from weir.settings import Settings

DAY_MS = 86_400_000


def fill(config: Settings, count: int, days: int, now: int) -> list[int]:
    """Write `count` series of daily cycles and noise, as 5-minute aggregates up to `now` (ms). Returns their ids."""
    rng = np.random.default_rng(1)
    at = np.arange(now - days * DAY_MS, now, STEP_MS)
    connection = psycopg2.connect(config.dsn("writer"))
    ids: list[int] = []
    with connection, connection.cursor() as cursor:
        for n in range(count):
            cursor.execute("INSERT INTO sensors (site, sensor) VALUES ('fleet', %s) RETURNING sensor_id", (f"s{n}",))
            cursor.execute(
                "INSERT INTO series (sensor_id, metric) VALUES (%s, 't') RETURNING series_id", cursor.fetchone()
            )
            ((number,),) = cursor.fetchall()
            ids.append(number)
            walk = np.cumsum(rng.normal(0, 0.05, len(at)))
            values = 15 + 8 * np.cos(2 * np.pi * at / DAY_MS + n) + walk + rng.normal(0, 0.2, len(at))
            lines = "".join(
                f"{number}\t{np.datetime64(int(ts), 'ms')}+00\t5\t{value:.3f}\t{value - 0.3:.3f}\t{value + 0.3:.3f}\n"
                for ts, value in zip(at, values, strict=True)
            )
            cursor.copy_expert("COPY readings_5m (series_id, bucket, n, mean, min, max) FROM STDIN", io.StringIO(lines))
    connection.close()
    return ids


def run(count: int, days: int, port_base: int, say: Callable[[str], None]) -> list[Row]:
    """Forecast a synthetic fleet as the Spark job does, and some of its series as the page does."""
    rows: list[Row] = []
    with servers((), port_base) as (stack, config):
        environment.current(stack.home)
        now = int(time.time() * 1000) // STEP_MS * STEP_MS
        ids = fill(config, count, days, now)
        os.environ["OMP_NUM_THREADS"] = "1"
        spark = session.start(config, Path(stack.home) / "spark")
        database = Database(config.dsn("writer"), "weir-bench")
        begun = time.monotonic()
        made, work = run_once(spark, database, [], now)
        took = time.monotonic() - begun
        spark.stop()
        rows.append((
            f"{made} series of {days} days, an hour and a day ahead, {config.spark_master}",
            f"{took:.0f} s, {1000 * work / count:.0f} ms of work a series", "1,000 series in 120 s",
        ))  # fmt: skip
        delays = [_on_demand(config, number, now, ahead) for number in ids[:20] for ahead in ("1h", "24h")]
        rows.append((
            "one forecast on demand, query and all", f"p50 {np.median(delays) * 1000:.0f} ms, worst "
            f"{max(delays) * 1000:.0f} ms ({len(delays)})", "500 ms",
        ))  # fmt: skip
    for what, measured, _ in rows:
        say(f"{what}: {measured}")
    return rows


def _on_demand(config: Settings, number: int, now: int, ahead: str) -> float:
    from web.forecasts import forecast
    from web.store import store

    begun = time.monotonic()
    forecast(store(), number, now, ahead)
    return time.monotonic() - begun
