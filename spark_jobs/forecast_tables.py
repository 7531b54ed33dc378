"""The tables of the forecasts: what is to be forecast, from what, and how good it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

KEEP_DAYS = 8
#: A forecast: (series id, horizon, made, ts, mean, low80, high80, model, last), times in ms.
ForecastRow = tuple[int, str, int, int, float, float, float, str, float]
#: A limit that will be crossed: (series id, above, limit, at, probability, made), times in ms.
CrossingRow = tuple[int, bool, float, int, float, int]
#: series id -> times (ms, int64) and values (float64).
History = dict[int, tuple[np.ndarray, np.ndarray]]

_SERIES = """
SELECT series_id, site, sensor, metric, (metrics -> metric ->> 'min')::float8, (metrics -> metric ->> 'max')::float8
FROM series JOIN sensors USING (sensor_id)
WHERE EXISTS (
    SELECT FROM readings_5m r
    WHERE r.series_id = series.series_id AND r.bucket > to_timestamp(%s) - interval '1 day')
ORDER BY series_id"""
_HISTORY = """
SELECT series_id, (extract(epoch FROM date_bin(%(step)s, bucket, 'epoch')) * 1000)::bigint AS at, avg(mean)
FROM readings_5m
WHERE series_id = ANY(%(ids)s) AND bucket >= to_timestamp(%(since)s) AND bucket < to_timestamp(%(until)s)
GROUP BY 1, 2 ORDER BY 1, 2"""
_PUT = """
INSERT INTO forecasts (series_id, horizon, made, ts, mean, low80, high80, model, last) VALUES %s
ON CONFLICT (series_id, horizon, made, ts) DO UPDATE SET
    mean = excluded.mean, low80 = excluded.low80, high80 = excluded.high80, model = excluded.model,
    last = excluded.last"""
_PUT_ROW = "(%s, %s, to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0), %s, %s, %s, %s, %s)"
_PUT_CROSSINGS = """
INSERT INTO crossings (series_id, above, level, at, probability, made) VALUES %s
ON CONFLICT (series_id, above) DO UPDATE SET
    level = excluded.level, at = excluded.at, probability = excluded.probability, made = excluded.made"""
_CROSSING_ROW = "(%s, %s, %s, to_timestamp(%s / 1000.0), %s, to_timestamp(%s / 1000.0))"
_SCORE = """
WITH truth AS (
    SELECT series_id, '1h' AS horizon, bucket AS ts, mean AS value FROM readings_5m
    WHERE bucket > now() - interval '8 days' AND bucket < now() - interval '10 minutes'
    UNION ALL
    SELECT series_id, '24h', date_bin('1 hour', bucket, 'epoch'), avg(mean) FROM readings_5m
    WHERE bucket > now() - interval '8 days' AND bucket < date_bin('1 hour', now(), 'epoch')
    GROUP BY series_id, date_bin('1 hour', bucket, 'epoch')
)
INSERT INTO forecast_skill (series_id, horizon, scored, n, mae, mae_last, r2, coverage80)
SELECT f.series_id, f.horizon, now(), count(*), avg(abs(t.value - f.mean)), avg(abs(t.value - f.last)),
       1 - sum((t.value - f.mean) ^ 2) / nullif(var_pop(t.value) * count(*), 0),
       avg((t.value BETWEEN f.low80 AND f.high80)::int)
FROM forecasts f JOIN truth t USING (series_id, horizon, ts)
WHERE f.made > now() - interval '7 days' AND f.last IS NOT NULL
GROUP BY f.series_id, f.horizon
ON CONFLICT (series_id, horizon) DO UPDATE SET scored = excluded.scored, n = excluded.n, mae = excluded.mae,
    mae_last = excluded.mae_last, r2 = excluded.r2, coverage80 = excluded.coverage80"""
_FORGET = "DELETE FROM forecasts WHERE made < now() - make_interval(days => %s)"


@dataclass(frozen=True)
class SeriesRow:
    """A series to forecast. `low`, `high`: what its birth says it can be, if anything."""

    id: int
    site: str
    sensor: str
    metric: str
    low: float | None
    high: float | None


def series(connection: Connection, made: int) -> list[SeriesRow]:
    """The series that were heard within a day before `made` (ms)."""
    with connection.cursor() as cursor:
        cursor.execute(_SERIES, (made / 1000,))
        return [SeriesRow(*row) for row in cursor.fetchall()]


def history(connection: Connection, ids: list[int], since: int, until: int, step: int) -> History:
    """Means over `step` of [since, until) (all ms)."""
    parameters = {"ids": ids, "since": since / 1000, "until": until / 1000, "step": f"{step // 1000} seconds"}
    with connection.cursor() as cursor:
        cursor.execute(_HISTORY, parameters)
        rows = cursor.fetchall()
    found: History = {}
    numbers = np.array([row[0] for row in rows], dtype=np.int64)
    times = np.array([row[1] for row in rows], dtype=np.int64)
    values = np.array([row[2] for row in rows], dtype=np.float64)
    for one in np.unique(numbers):
        mine = numbers == one
        found[int(one)] = times[mine], values[mine]
    return found


def store(connection: Connection, ids: list[int], rows: list[ForecastRow], crossings: list[CrossingRow]) -> None:
    """Write forecasts; what these series were to cross before is forgotten."""
    with connection.cursor() as cursor:
        execute_values(cursor, _PUT, rows, template=_PUT_ROW, page_size=1000)
        cursor.execute("DELETE FROM crossings WHERE series_id = ANY(%s)", (ids,))
        execute_values(cursor, _PUT_CROSSINGS, crossings, template=_CROSSING_ROW)


def score(connection: Connection) -> None:
    """Compare the forecasts of the last 7 days with what came, and forget older ones."""
    with connection.cursor() as cursor:
        cursor.execute(_SCORE)
        cursor.execute(_FORGET, (KEEP_DAYS,))


def newest(connection: Connection) -> int:
    """When forecasts were made last (ms); 0 if never."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce((extract(epoch FROM max(made)) * 1000)::bigint, 0) FROM forecasts")
        row: Any = cursor.fetchone()
        return int(row[0])
