"""History from Postgres through the detector's own code: what would have been flagged, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2

from deploy.status import postgres_rows
from stream_apps.iqr import Params
from stream_apps.judging import Judge, Override
from weir.errors import SetupError
from weir.events import Flag
from weir.readings import Birth, Reading
from weir.settings import Settings

CHUNK = 5000
#: How much history before the span the detector learns from first: its longest memory is 7 days of hours.
LEARN_MS = 8 * 86_400_000

_SERIES = """
SELECT series_id, site, sensor, metric FROM series JOIN sensors USING (sensor_id)
WHERE site LIKE %s AND sensor LIKE %s AND metric LIKE %s ORDER BY site, sensor, metric"""
_READINGS = """
SELECT (extract(epoch FROM ts) * 1000)::bigint, value
FROM readings_between(ARRAY[%s], to_timestamp(%s / 1000.0), to_timestamp((%s + 1) / 1000.0)) ORDER BY ts"""
_FLAGS = """
SELECT site, sensor, metric, (extract(epoch FROM ts) * 1000)::bigint, value, score, q1, q3, low, high, n,
       (extract(epoch FROM at) * 1000)::bigint, 0, feature, detector, version
FROM anomalies JOIN series USING (series_id) JOIN sensors USING (sensor_id)
WHERE site = %s AND sensor = %s AND metric = %s
  AND ts BETWEEN to_timestamp(%s / 1000.0) AND to_timestamp(%s / 1000.0) ORDER BY ts"""


@dataclass(frozen=True)
class Series:
    """One metric of one sensor, as Postgres numbers it."""

    id: int
    site: str
    sensor: str
    metric: str

    def __str__(self) -> str:
        return f"{self.site}/{self.sensor} {self.metric}"


def series(config: Settings, sensor: str = "", metric: str = "") -> list[Series]:
    """Series by `site/sensor` and metric; all where nothing is given. Raises `SetupError` if there is none."""
    site, _, name = sensor.partition("/")
    rows = postgres_rows(config, _SERIES, (_like(site), _like(name), _like(metric)))
    if not rows:
        raise SetupError(f"there is no series {sensor} {metric}: `weir status` tells whether anything is stored")
    return [Series(*row) for row in rows]


def redetect(
    config: Settings, one: Series, since: int, until: int, overrides: list[Override], birth: Birth | None = None
) -> tuple[int, list[Flag]]:
    """Judge a series' readings of [since, until] (ms) anew: how many there were, and the flags.

    What came before teaches only. Nothing is written. Raises `OSError` when Postgres is away.
    """
    judge = Judge(overrides)
    if birth is not None:
        judge.born(one.site, one.sensor, birth)
    judged, flags = 0, []
    for chunk in _chunks(config, one, since - LEARN_MS, until):
        readings = [Reading(one.site, one.sensor, ts, ts, {one.metric: value}, hist=ts < since) for ts, value in chunk]
        judged += sum(not reading.hist for reading in readings)
        flags += judge.judge(readings, until)
    return judged, flags


def stored_flags(config: Settings, one: Series, since: int, until: int) -> list[Flag]:
    """The flags that were raised live in [since, until] (ms)."""
    rows = postgres_rows(config, _FLAGS, (one.site, one.sensor, one.metric, since, until))
    return [Flag(*row) for row in rows]


def override(changes: dict[str, Any]) -> list[Override]:
    """One rule for all series from `name=value` pairs. Raises `SetupError` for an unknown parameter."""
    if not changes:
        return []
    known = set(Params.__dataclass_fields__) - {"features"}
    if wrong := set(changes) - known:
        raise SetupError(f"unknown parameter {', '.join(sorted(wrong))}: there are {', '.join(sorted(known))}")
    return [Override(**changes)]


def _chunks(config: Settings, one: Series, since: int, until: int) -> Iterator[list[tuple[int, float]]]:
    try:
        connection = psycopg2.connect(config.dsn("reader"), connect_timeout=3)
        with connection, connection.cursor(name="history") as cursor:
            cursor.execute(_READINGS, (one.id, since, until))
            while rows := cursor.fetchmany(CHUNK):
                yield rows
        connection.close()
    except psycopg2.Error as error:
        raise OSError(f"Postgres does not answer: {str(error).strip()}") from error


def _like(name: str) -> str:
    """A name as a LIKE pattern: `*` stands for anything, and so does nothing."""
    return name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%").replace("*", "%") or "%"
