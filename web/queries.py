"""Every query the dashboard asks of Postgres, but those for the points of a series, which are in `window`.

Times are ms since the epoch, UTC. Each raises `StoreDown`.
"""

from __future__ import annotations

from dataclasses import dataclass

from web.store import Store
from weir.ledger import QUERY, Minute, merge


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


_MS = "(date_part('epoch', {}) * 1000)::bigint"


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


def late(store: Store, series_id: int, since: int, until: int, limit: int = 2000) -> list[tuple[int, int]]:
    """(start of a 5-minute bucket in ms, how many of its readings came late), the newest `limit`, oldest first."""
    sql = f"""SELECT {_MS.format("bucket")}, n FROM late_buckets
              WHERE series_id = %(series)s AND bucket BETWEEN {_at("since")} AND {_at("until")}
              ORDER BY bucket DESC LIMIT %(limit)s"""  # noqa: S608 (constants)
    parameters = {"series": series_id, "since": since, "until": until, "limit": limit}
    return [(int(bucket), int(n)) for bucket, n in store.rows(sql, parameters)[::-1]]


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


@dataclass(frozen=True)
class LatestRow:
    """The last *measured* value of a series."""

    site: str
    sensor: str
    metric: str
    ts: int
    value: float


def latest(store: Store, site: str, after: str = "", limit: int = 100) -> list[LatestRow]:
    """The latest values of at most `limit` sensors of a site, by name, beginning after the sensor `after`."""
    sql = f"""SELECT s.site, s.sensor, m.metric, {_MS.format("l.ts")}, l.value
              FROM (SELECT * FROM sensors WHERE site = %s AND sensor > %s ORDER BY site, sensor LIMIT %s) s
              JOIN series m USING (sensor_id) JOIN latest l USING (series_id)
              ORDER BY s.site, s.sensor, m.metric"""  # noqa: S608 (constants)
    return [LatestRow(*row) for row in store.rows(sql, (site, after, limit))]


@dataclass(frozen=True)
class SiteRow:
    """One site: how many sensors it has, how many of them are silent, when it was last heard of (ms)."""

    site: str
    sensors: int
    silent: int
    newest: int | None


def site_summary(store: Store, silent_since: int) -> list[SiteRow]:
    """Every site by name. A sensor is silent whose newest value was measured before `silent_since`."""
    sql = f"""SELECT site, count(*), count(*) FILTER (WHERE newest IS NULL OR newest < {_at("since")}),
                     {_MS.format("max(newest)")}
              FROM sensors LEFT JOIN (
                  SELECT sensor_id, max(ts) AS newest FROM series JOIN latest USING (series_id) GROUP BY 1) l
              USING (sensor_id) GROUP BY site ORDER BY site"""  # noqa: S608 (constants)
    return [SiteRow(*row) for row in store.rows(sql, {"since": silent_since})]


@dataclass(frozen=True)
class Counts:
    """How the fleet is: sensors, how many are silent, active alerts by severity."""

    sensors: int
    silent: int
    alerts: dict[str, int]


def status_counts(store: Store, silent_since: int) -> Counts:
    """As `Counts`; a sensor is silent whose newest value was measured before `silent_since`."""
    summary = site_summary(store, silent_since)
    alerts = store.rows("SELECT severity, count(*) FROM alerts WHERE state = 'active' GROUP BY 1 ORDER BY 1")
    return Counts(sum(one.sensors for one in summary), sum(one.silent for one in summary), dict(alerts))


def ping(store: Store) -> None:
    """Raises `StoreDown` if Postgres does not answer."""
    store.rows("SELECT 1")
