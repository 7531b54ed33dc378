"""Partitions, made when a reading first needs one; the keeper makes those of the coming days ahead."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from psycopg2.extensions import connection as Connection

from spark_jobs.database import Database
from spark_jobs.lateness import MAX_TS

DAY_MS = 86_400_000


class Partitions:
    """Knows for which days a partition was asked for. Which there are to be, `ensure_partition` in Postgres decides.

    Asks in a transaction of its own, before the one that inserts: cutting a day out of the DEFAULT partition locks
    it. A day that gets none (too far away, or sealed) is remembered too: its rows go to DEFAULT.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()

    def ensure(self, database: Database, times: Iterable[int]) -> None:
        """Make the partitions for `times` (ms)."""
        missing = sorted({ts // DAY_MS for ts in times if 0 <= ts <= MAX_TS} - self._known)
        for day in missing:
            moment = datetime.fromtimestamp(day * DAY_MS / 1000, UTC)
            database.run(lambda connection, moment=moment: ensure_partition(connection, moment))  # type: ignore[misc]
            self._known.add(day)


def ensure_partition(connection: Connection, moment: datetime) -> None:
    """Make what partitions are missing for `moment`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_partition(%s)", (moment,))
