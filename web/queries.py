"""Every query the dashboard asks of Postgres. Times are ms since the epoch, UTC. Each raises `StoreDown`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from web.store import Store
from weir.ledger import QUERY, Minute, merge

MAX_RAW = 200_000


@dataclass(frozen=True)
class Points:
    """A series over time: `ts` int64 ms, `mean`, `low`, `high` float64, all of one length.

    Of raw readings `low` and `high` are the reading itself.
    """

    ts: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True)
class FlagRow:
    """One flagged reading and why."""

    ts: int
    value: float
    score: float
    q1: float
    q3: float
    low: float
    high: float
    window: int
    feature: str
    detector: str


@dataclass(frozen=True)
class DeadRow:
    id: str
    at: int
    source: str
    reason: str
    detail: str
    payload: bytes


_MS = "(extract(epoch FROM {}) * 1000)::bigint"


def _at(name: str) -> str:
    return f"to_timestamp(%({name})s / 1000.0)"


def sensors(store: Store) -> list[tuple[str, str]]:
    """`(site, sensor)` of every sensor known, by name."""
    return [(site, sensor) for site, sensor in store.rows("SELECT site, sensor FROM sensors ORDER BY site, sensor")]


def series(store: Store, site: str, sensor: str) -> dict[str, int]:
    """`metric -> series_id` of one sensor; empty if it was never archived."""
    sql = """SELECT metric, series_id FROM series JOIN sensors USING (sensor_id)
             WHERE site = %s AND sensor = %s ORDER BY metric"""
    return {metric: number for metric, number in store.rows(sql, (site, sensor))}


def raw(store: Store, series_id: int, since: int, until: int) -> Points:
    """The readings measured in [since, until], the newest `MAX_RAW` of them, oldest first."""
    sql = f"""SELECT {_MS.format("ts")}, value FROM readings
              WHERE series_id = %(series)s AND ts BETWEEN {_at("since")} AND {_at("until")}
              ORDER BY ts DESC LIMIT {MAX_RAW}"""  # noqa: S608 (constants)
    rows = store.rows(sql, {"series": series_id, "since": since, "until": until})[::-1]
    ts = np.array([row[0] for row in rows], dtype=np.int64)
    value = np.array([row[1] for row in rows], dtype=np.float64)
    return Points(ts, value, value, value)


def five_minutes(store: Store, series_id: int, since: int, until: int) -> Points:
    """5-minute aggregates by the start of their bucket; what is not rolled up yet is aggregated from raw."""
    sql = f"""
        WITH rolled AS (
            SELECT bucket, mean, min, max FROM readings_5m
            WHERE series_id = %(series)s AND bucket BETWEEN {_at("since")} AND {_at("until")}
        ), start AS (
            SELECT coalesce(max(bucket) + interval '5 minutes', {_at("since")}) AS at FROM rolled
        ), tail AS (
            SELECT date_bin('5 minutes', ts, 'epoch') AS bucket, avg(value) AS mean, min(value), max(value)
            FROM readings, start
            WHERE series_id = %(series)s AND ts >= start.at AND ts <= {_at("until")}
            GROUP BY 1
        )
        SELECT {_MS.format("bucket")}, mean, min, max FROM (SELECT * FROM rolled UNION ALL SELECT * FROM tail) AS both_
        ORDER BY 1"""  # noqa: S608 (constants)
    rows = store.rows(sql, {"series": series_id, "since": since, "until": until})
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    ts = np.array(columns[0], dtype=np.int64)
    mean, low, high = (np.array(column, dtype=np.float64) for column in columns[1:])
    return Points(ts, mean, low, high)


def hourly(store: Store, series_id: int, since: int, until: int) -> Points:
    """Means of whole hours by their start, from the 5-minute aggregates."""
    sql = f"""SELECT {_MS.format("date_bin('1 hour', bucket, 'epoch')")}, avg(mean), min(min), max(max)
              FROM readings_5m
              WHERE series_id = %(series)s AND bucket BETWEEN {_at("since")} AND {_at("until")}
              GROUP BY 1 ORDER BY 1"""  # noqa: S608 (constants)
    rows = store.rows(sql, {"series": series_id, "since": since, "until": until})
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    mean, low, high = (np.array(column, dtype=np.float64) for column in columns[1:])
    return Points(np.array(columns[0], dtype=np.int64), mean, low, high)


@dataclass(frozen=True)
class Skill:
    """How good the forecasts of the last 7 days were, of `n` values. `mase`: error over that of the last value."""

    n: int
    mase: float | None
    r2: float | None
    coverage80: float


def skill(store: Store, series_id: int, horizon: str) -> Skill | None:
    """What forecasts were worth when the truth had come; None if there is none yet. `horizon`: `1h` or `24h`."""
    rows = store.rows(
        "SELECT n, mae / nullif(mae_last, 0), r2, coverage80 FROM forecast_skill WHERE series_id = %s AND horizon = %s",
        (series_id, horizon),
    )
    return Skill(*rows[0]) if rows else None


def flags(store: Store, series_id: int, since: int, until: int, limit: int = 500) -> list[FlagRow]:
    """The newest `limit` flags of a series in [since, until], oldest first."""
    sql = f"""SELECT {_MS.format("ts")}, value, score, q1, q3, low, high, n, feature, detector FROM anomalies
              WHERE series_id = %(series)s AND ts BETWEEN {_at("since")} AND {_at("until")}
              ORDER BY ts DESC LIMIT %(limit)s"""  # noqa: S608 (constants)
    parameters = {"series": series_id, "since": since, "until": until, "limit": limit}
    return [FlagRow(*row) for row in store.rows(sql, parameters)[::-1]]


def ledger(store: Store, received: dict[int, int], since: int) -> list[Minute]:
    """The ledger's minutes from `since`, oldest first. `received`: the bridge's counts, by minute."""
    rows = store.rows(QUERY, (since / 1000,))
    return merge({minute: n for minute, n in received.items() if minute >= since}, rows)


def absent(store: Store) -> tuple[int, int]:
    """Readings that never arrived, by their sensors' own counters, and how many sensors they are of."""
    ((readings, sensors),) = store.rows(
        "SELECT coalesce(sum(absent), 0)::bigint, count(*) FROM sequences WHERE absent > 0"
    )
    return readings, sensors


def dead_letter_counts(store: Store, since: int) -> dict[str, int]:
    """`reason -> how many` dead letters from `since`, most first."""
    sql = f"""SELECT reason, count(*) FROM dead_letters WHERE at >= {_at("since")}
              GROUP BY reason ORDER BY 2 DESC, 1"""  # noqa: S608 (constants)
    return {reason: count for reason, count in store.rows(sql, {"since": since})}


def dead_letters(store: Store, limit: int = 100, payload_bytes: int = 400) -> list[DeadRow]:
    """The newest dead letters, newest first; of each payload only its beginning."""
    sql = f"""SELECT id, {_MS.format("at")}, source, reason, detail, substring(payload FOR %s)
              FROM dead_letters ORDER BY at DESC LIMIT %s"""  # noqa: S608 (constants)
    return [
        DeadRow(id, at, source, reason, detail, bytes(payload))
        for id, at, source, reason, detail, payload in store.rows(sql, (payload_bytes, limit))
    ]


def alert_history(store: Store, limit: int = 200) -> list[dict[str, object]]:
    """The newest transitions of all alerts, newest first: `at`, `n`, `state`, `by`, `text` and whose alert it is."""
    names = ("id", "n", "at", "state", "acknowledged", "by", "text", "site", "sensor", "metric", "rule", "severity")
    sql = f"""SELECT h.id, h.n, {_MS.format("h.at")}, h.state, h.acknowledged, h.by, h.text,
                     a.site, a.sensor, a.metric, a.rule, a.severity
              FROM alert_history h LEFT JOIN alerts a USING (id)
              ORDER BY h.at DESC, h.n DESC LIMIT %s"""  # noqa: S608 (constants)
    return [dict(zip(names, row, strict=True)) for row in store.rows(sql, (limit,))]


def ping(store: Store) -> None:
    """Raises `StoreDown` if Postgres does not answer."""
    store.rows("SELECT 1")
