"""Names of series to their integer ids, remembered per process."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from spark_jobs.database import Database

Name = tuple[str, str, str]  # site, sensor, metric
_LIMIT = 2_000_000

_SENSORS = """
INSERT INTO sensors (site, sensor) VALUES %s ON CONFLICT (site, sensor) DO NOTHING"""
_SERIES = """
INSERT INTO series (sensor_id, metric)
SELECT s.sensor_id, w.metric FROM (VALUES %s) AS w(site, sensor, metric) JOIN sensors s USING (site, sensor)
ON CONFLICT (sensor_id, metric) DO NOTHING"""
_IDS = """
SELECT s.site, s.sensor, m.metric, m.series_id
FROM (VALUES %s) AS w(site, sensor, metric) JOIN sensors s USING (site, sensor)
JOIN series m ON m.sensor_id = s.sensor_id AND m.metric = w.metric"""


class SeriesIds:
    """A cache in front of `series`. A sensor without a birth is created as it is first heard.

    Creation commits before the rows that use the ids are written, so that a rollback leaves no id that is not there.
    """

    def __init__(self) -> None:
        self._ids: dict[Name, int] = {}

    def __getitem__(self, name: Name) -> int:
        return self._ids[name]

    def __contains__(self, name: Name) -> bool:
        return name in self._ids

    def learn(self, database: Database, names: Iterable[Name]) -> None:
        """Make sure that `names` can be looked up. Names must be valid (`weir.readings.check_name`)."""
        wanted = set(names)
        if len(self._ids) > _LIMIT:
            self._ids.clear()
        missing = sorted(name for name in wanted if name not in self._ids)
        if not missing:
            return
        self._ids.update(database.run(lambda connection: _resolve(connection, missing)))


def _resolve(connection: Connection, names: list[Name]) -> dict[Name, int]:
    """Sorted, so that two processes that meet the same new sensors cannot deadlock."""
    with connection.cursor() as cursor:
        found = _select(cursor, names)
        unknown = [name for name in names if name not in found]
        if unknown:
            execute_values(cursor, _SENSORS, sorted({name[:2] for name in unknown}), page_size=1000)
            execute_values(cursor, _SERIES, unknown, page_size=1000)
            found |= _select(cursor, unknown)
    return found


def _select(cursor: Cursor, names: list[Name]) -> dict[Name, int]:
    rows = execute_values(cursor, _IDS, names, page_size=1000, fetch=True)
    return {(site, sensor, metric): series_id for site, sensor, metric, series_id in rows}
