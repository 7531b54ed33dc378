"""What the overview asks of Postgres. Times are ms since the epoch, UTC. Each raises `StoreDown`."""

from __future__ import annotations

from web.store import Store

_ONLINE = """
SELECT (extract(epoch FROM date_bin('15 minutes', bucket, 'epoch')) * 1000)::bigint, count(DISTINCT sensor_id)
FROM readings_5m JOIN series USING (series_id)
WHERE bucket >= to_timestamp(%s / 1000.0) GROUP BY 1 ORDER BY 1"""
_ALERTS = """
SELECT (extract(epoch FROM moment) * 1000)::bigint, count(id)
FROM generate_series(to_timestamp(%(since)s / 1000.0), to_timestamp(%(until)s / 1000.0), interval '5 minutes') moment
LEFT JOIN alerts ON opened <= moment AND (state = 'active' OR at > moment)
GROUP BY 1 ORDER BY 1"""
_FLAGS = """
SELECT site || '/' || sensor, count(*)
FROM anomalies JOIN series USING (series_id) JOIN sensors USING (sensor_id)
WHERE ts >= to_timestamp(%s / 1000.0) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %s"""


def online(store: Store, since: int) -> list[tuple[int, int]]:
    """`(start, sensors heard)` for each 15 minutes, which is longer than most are quiet, from `since`, oldest first."""
    return [(at, n) for at, n in store.rows(_ONLINE, (since,))]


def active_alerts(store: Store, since: int, until: int) -> list[tuple[int, int]]:
    """`(moment, alerts active at it)` each 5 minutes, oldest first."""
    return [(at, n) for at, n in store.rows(_ALERTS, {"since": since, "until": until})]


def most_flagged(store: Store, since: int, limit: int = 50) -> dict[str, int]:
    """`"<site>/<sensor>" -> readings flagged since`, most first."""
    return dict(store.rows(_FLAGS, (since, limit)))
