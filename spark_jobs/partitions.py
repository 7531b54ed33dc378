"""Partitions, made when a reading first needs one; the keeper makes those of the coming days ahead."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection

from spark_jobs.database import Database
from spark_jobs.lateness import MAX_TS

log = logging.getLogger("weir.spark")

DAY_MS = 86_400_000
#: A day that could not be cut out of DEFAULT is tried again after so many seconds.
AGAIN_S = 60.0


class Partitions:
    """Knows for which days a partition was asked for. Which there are to be, `ensure_partition` in Postgres decides.

    Asks in a transaction of its own, before the one that inserts: cutting a day out of the DEFAULT partition locks
    it. A day that gets none (too far away, or sealed) is remembered too: its rows go to DEFAULT. So they do while
    somebody reads DEFAULT for long (a backup), which the lock would have to wait for; then it is asked for again later.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._known: set[int] = set()
        self._not_before: dict[int, float] = {}
        self._clock = clock

    def ensure(self, database: Database, times: Iterable[int]) -> None:
        """Make the partitions for `times` (ms)."""
        missing = sorted({ts // DAY_MS for ts in times if 0 <= ts <= MAX_TS} - self._known)
        for day in missing:
            if self._clock() < self._not_before.get(day, 0):
                continue
            moment = datetime.fromtimestamp(day * DAY_MS / 1000, UTC)
            if database.run(lambda connection, moment=moment: _try(connection, moment)):  # type: ignore[misc]
                self._known.add(day)
            else:
                self._not_before[day] = self._clock() + AGAIN_S


def _try(connection: Connection, moment: datetime) -> bool:
    try:
        ensure_partition(connection, moment)
    except psycopg2.errors.LockNotAvailable:
        connection.rollback()
        log.warning("DEFAULT partitions are being read: %s gets its own later", moment.date())
        return False
    return True


def ensure_partition(connection: Connection, moment: datetime) -> None:
    """Make what partitions are missing for `moment`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ensure_partition(%s)", (moment,))
