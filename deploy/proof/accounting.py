"""Accounts for every reading of a load by (sensor, time), to the value, in what Postgres has."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import psycopg2

from edge.plan import Plan
from weir.settings import Settings

#: Series fetched at once.
CHUNK = 150
_SERIES = """
SELECT sensor, metric, series_id FROM series JOIN sensors USING (sensor_id) WHERE site = %s"""
_ROWS = """COPY (
    SELECT series_id, (extract(epoch FROM ts) * 1000)::bigint, value FROM all_readings
    WHERE series_id = ANY('{{{ids}}}')
) TO STDOUT (FORMAT binary)"""
#: A row of binary COPY: the count of fields, and each field's length before it.
_ROW = np.dtype(
    [("n", ">i2"), ("l1", ">i4"), ("series", ">i4"), ("l2", ">i4"), ("ts", ">i8"), ("l3", ">i4"), ("value", ">f8")]
)
_HEAD, _TAIL = 19, 2
_LETTERS = "SELECT count(*) FROM dead_letters WHERE source LIKE %s"
_BYTES = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'm') AND c.relname LIKE 'readings%%'
AND c.relname NOT LIKE 'readings_5m%%'"""
_DUPLICATE = "SELECT coalesce(sum(duplicate), 0)::bigint FROM ledger WHERE minute >= to_timestamp(%s)"


@dataclass(frozen=True)
class Found:
    """Readings of a plan: `stored` whole and right, `lost` in part or whole, `wrong` with another value,
    `unknown` rows that nobody has published. `points`: rows in all."""

    stored: int
    lost: int
    wrong: int
    unknown: int
    points: int


def compare(plan: Plan, sensor: int, rows: dict[str, tuple[np.ndarray, np.ndarray]]) -> Found:
    """One sensor: `rows` by metric, (times in ms, values) in any order. Pure."""
    wanted, values = plan.expected(sensor), plan.values(sensor)
    whole, right = np.ones(len(wanted), bool), np.ones(len(wanted), bool)
    unknown = points = 0
    for i, metric in enumerate(plan.metric_names):
        ts, found = rows.get(metric, (np.empty(0, np.int64), np.empty(0)))
        order = np.argsort(ts, kind="stable")
        ts, found = ts[order], found[order]
        at = np.searchsorted(ts, wanted)
        there = (
            (at < len(ts)) & (ts[np.minimum(at, max(len(ts) - 1, 0))] == wanted) if len(ts) else np.zeros_like(whole)
        )
        right[there] &= found[at[there]] == values[there, i]
        whole &= there
        points += len(ts)
        unknown += len(ts) - int(there.sum())
    return Found(int((whole & right).sum()), int((~whole).sum()), int((whole & ~right).sum()), unknown, points)


def account(config: Settings, plan: Plan) -> Found:
    """Fetch what Postgres has of the plan's site and compare, some sensors at a time."""
    connection = psycopg2.connect(config.dsn("reader"))
    try:
        with connection.cursor() as cursor:
            cursor.execute(_SERIES, (plan.site,))
            series = {(sensor, metric): number for sensor, metric, number in cursor.fetchall()}
            per = max(1, CHUNK // plan.metrics)
            parts = []
            for first in range(0, plan.sensors, per):
                sensors = range(first, min(first + per, plan.sensors))
                parts += _some(cursor, plan, sensors, series)
    finally:
        connection.close()
    return Found(*(sum(getattr(one, name) for one in parts) for name in Found.__dataclass_fields__))


def _some(
    cursor: psycopg2.extensions.cursor, plan: Plan, sensors: range, series: dict[tuple[str, str], int]
) -> list[Found]:
    names = {(plan.names[sensor], metric) for sensor in sensors for metric in plan.metric_names}
    ids = {series[name]: name for name in names if name in series}
    buffer = io.BytesIO()
    if ids:
        cursor.copy_expert(_ROWS.format(ids=",".join(map(str, ids))), buffer)
    data = buffer.getvalue()
    table = np.frombuffer(data[_HEAD : len(data) - _TAIL], dtype=_ROW)
    order = np.argsort(table["series"], kind="stable")
    table = table[order]
    starts = np.searchsorted(table["series"], list(ids), "left")
    ends = np.searchsorted(table["series"], list(ids), "right")
    rows: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for (sensor, metric), start, end in zip(ids.values(), starts, ends, strict=True):
        part = table[start:end]
        rows.setdefault(sensor, {})[metric] = (part["ts"].astype(np.int64), part["value"].astype(np.float64))
    return [compare(plan, sensor, rows.get(plan.names[sensor], {})) for sensor in sensors]


def number(config: Settings, query: str, *arguments: object) -> int:
    """The one number that a query gives."""
    connection = psycopg2.connect(config.dsn("reader"))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, arguments)
            (found,) = cursor.fetchone() or (0,)
    finally:
        connection.close()
    return int(found)


def dead_lettered(config: Settings, site: str) -> int:
    """Messages of a site that were refused."""
    return number(config, _LETTERS, f"weir/{site}/%")


def duplicates(config: Settings, since_s: float) -> int:
    """Readings that came again since a minute, of all sites: the archive counts them, it does not keep them."""
    return number(config, _DUPLICATE, since_s - since_s % 60)


def bytes_stored(config: Settings) -> int:
    """Bytes of raw readings on Postgres' disk, with their indexes."""
    return number(config, _BYTES)
