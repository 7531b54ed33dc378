"""Monthly partitions, made when a reading first needs one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from psycopg2.extensions import connection as Connection

from spark_jobs.database import Database
from spark_jobs.lateness import MAX_TS

Month = tuple[int, int]


def month_of(ts: int) -> Month:
    """The (year, month) of a time in ms, in UTC. `ts` must lie in 0..MAX_TS."""
    moment = datetime.fromtimestamp(ts / 1000, UTC)
    return moment.year, moment.month


class Partitions:
    """Knows which months have a partition. What it does not know it asks Postgres to make, once per process.

    Runs in a transaction of its own, before the one that inserts: cutting a month out of the DEFAULT partition locks
    it. A month that Postgres will not make (too far away) is remembered too: its rows go to DEFAULT.
    """

    def __init__(self) -> None:
        self._known: set[Month] = set()
        self._days: dict[int, Month] = {}

    def ensure(self, database: Database, times: Iterable[int]) -> None:
        """Make the partitions for `times` (ms)."""
        days = {ts // 86_400_000 for ts in times if 0 <= ts <= MAX_TS}
        missing = sorted({self._month(day) for day in days} - self._known)
        for year, month in missing:
            first = datetime(year, month, 1, tzinfo=UTC)
            database.run(lambda connection, first=first: _ensure(connection, first))  # type: ignore[misc]
            self._known.add((year, month))

    def _month(self, day: int) -> Month:
        if day not in self._days:
            self._days[day] = month_of(day * 86_400_000)
        return self._days[day]


def _ensure(connection: Connection, first: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_partition(%s)", (first,))
