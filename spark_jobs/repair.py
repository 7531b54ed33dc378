"""Computes dirty buckets of `readings_5m` from the raw readings, in SQL, and finds buckets that ought to be dirty.

Why the aggregates end up equal to SQL over all raw readings, whatever the order of arrival:

1. Every reading is either *on time* by a rule on the reading alone (`lateness.on_time`), then the streaming rollup
   counts it; or it is late or back-filled, then the archive marks its buckets dirty in the transaction that stores it.
2. Where the rollup counts wrongly, the bucket becomes dirty too: a reading delivered twice is a conflict in the
   archive; one that Spark's watermark dropped all the same (partitions read at different speeds after an outage), or
   that is no reading for the archive, shows as a different count when `sweep` compares each bucket with raw, once.
3. A dirty bucket is computed only after it is *closed*: the rollup will never write it again, so nothing overwrites
   the repair. Closed means that its end lies within `rollup_reach.reach`, the greater of
   - the watermark of a completed batch: later batches drop what belongs to windows that ended before it;
   - `received - slack - horizon`, where the rollup has processed all that was in Kafka at `received`: what comes
     later is on time only if measured after that.
   The reach is kept in Postgres and only grows, and the rollup's own upsert leaves closed buckets alone. So a deleted
   checkpoint, whose replay from the earliest offset has an empty watermark and partial counts, cannot damage them.
4. A mark is cleared in the transaction that computes the bucket, in a statement *before* the one that reads raw. A
   writer whose reading that statement cannot see yet marks the bucket after storing it: either the mark is new, or it
   waits for ours to be gone (ON CONFLICT DO UPDATE) and is set again. So no reading is forgotten.
5. A bucket is swept only when the archive, too, has stored every on-time reading of it. The same look at raw gives
   it its quartiles, and an hour or a day is rolled up once all of its buckets are swept (spark_jobs/coarser.py).
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg2.extensions import connection as Connection

from spark_jobs import coarser
from spark_jobs.database import Database, Stopping
from spark_jobs.lateness import BUCKET_MS, bucket_of
from spark_jobs.reach import Reach

log = logging.getLogger("weir.spark")

CHUNK = 20_000
PAUSE_S = 3.0

_ADVANCE = "UPDATE rollup_reach SET reach = %s WHERE reach < %s"
_PICKED = """
CREATE TEMP TABLE IF NOT EXISTS picked (series_id integer, bucket timestamptz) ON COMMIT DELETE ROWS"""
_PICK = """
WITH gone AS (
    DELETE FROM dirty_buckets WHERE (series_id, bucket) IN (
        SELECT series_id, bucket FROM dirty_buckets
        WHERE bucket <= (SELECT reach FROM rollup_reach) - interval '5 minutes'
        LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING series_id, bucket
)
INSERT INTO picked SELECT series_id, bucket FROM gone"""
# Where raw was dropped (retention) an aggregate is final: from what is left it could only become wrong.
_FINAL = "DELETE FROM picked WHERE bucket < (SELECT dropped_until FROM storage_state)"
_COMPUTE = """
INSERT INTO readings_5m AS a (series_id, bucket, n, mean, min, max, stddev, first, last, q1, median, q3)
SELECT p.series_id, p.bucket, r.n, r.mean, r.min, r.max, r.stddev, r.first, r.last, r.q[1], r.q[2], r.q[3]
FROM picked p CROSS JOIN LATERAL (
    SELECT count(*) AS n, avg(value) AS mean, min(value) AS min, max(value) AS max, stddev_samp(value) AS stddev,
           (array_agg(value ORDER BY ts))[1] AS first, (array_agg(value ORDER BY ts DESC))[1] AS last,
           percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY value) AS q
    FROM readings_between(ARRAY[p.series_id], p.bucket, p.bucket + interval '5 minutes')
) r
WHERE r.n > 0
ON CONFLICT (series_id, bucket) DO UPDATE SET
    n = excluded.n, mean = excluded.mean, min = excluded.min, max = excluded.max, stddev = excluded.stddev,
    first = excluded.first, last = excluded.last, q1 = excluded.q1, median = excluded.median, q3 = excluded.q3"""
_REMOVE_EMPTY = """
DELETE FROM readings_5m a USING picked p
WHERE a.series_id = p.series_id AND a.bucket = p.bucket AND NOT EXISTS (
    SELECT FROM readings_between(ARRAY[p.series_id], p.bucket, p.bucket + interval '5 minutes'))"""
_CLOSED = """
CREATE TEMP TABLE IF NOT EXISTS closed
(series_id integer, bucket timestamptz, raw_n bigint, rolled_n bigint, q double precision[]) ON COMMIT DELETE ROWS"""
_CLOSE = """
INSERT INTO closed
SELECT s.series_id, d.* FROM series s CROSS JOIN LATERAL (
    SELECT coalesce(raw.bucket, agg.bucket), raw.n, agg.n, raw.q
    FROM (SELECT date_bin('5 minutes', ts, 'epoch') AS bucket, count(*) AS n,
                 percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY value) AS q
          FROM readings WHERE series_id = s.series_id AND ts >= %(since)s AND ts < %(until)s GROUP BY 1) raw
    FULL JOIN (SELECT bucket, n FROM readings_5m
          WHERE series_id = s.series_id AND bucket >= %(since)s AND bucket < %(until)s) agg
    ON raw.bucket = agg.bucket
) d"""
_QUARTILES = """
UPDATE readings_5m a SET q1 = c.q[1], median = c.q[2], q3 = c.q[3] FROM closed c
WHERE a.series_id = c.series_id AND a.bucket = c.bucket AND c.raw_n = c.rolled_n
  AND a.bucket >= %(since)s AND a.bucket < %(until)s"""
_MISMATCHED = """
INSERT INTO dirty_buckets (series_id, bucket)
SELECT series_id, bucket FROM closed WHERE raw_n IS DISTINCT FROM rolled_n
ON CONFLICT (series_id, bucket) DO UPDATE SET bucket = excluded.bucket"""
# One repair at a time: a frozen process that wakes up must not write what it computed before.
_TAKE_TURNS = "SELECT swept FROM rollup_reach FOR UPDATE"


@dataclass(frozen=True)
class Reaches:
    """How far both queries have come."""

    archive: Reach
    rollups: Reach


def advance(connection: Connection, closed: int) -> None:
    """Note that no bucket that ends before `closed` (ms) will be written by the rollup again."""
    with connection.cursor() as cursor:
        moment = _time(closed)
        cursor.execute(_ADVANCE, (moment, moment))


def repair(connection: Connection, most: int = CHUNK) -> int:
    """Compute at most `most` closed dirty buckets, and the hours and days they are in. Returns how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_TURNS)
        cursor.execute(_PICKED)
        cursor.execute(_PICK, (most,))
        picked = cursor.rowcount
        if picked:
            cursor.execute(_FINAL)
            due = picked - cursor.rowcount
            cursor.execute(_COMPUTE)
            if cursor.rowcount < due:
                cursor.execute(_REMOVE_EMPTY)
            coarser.again(cursor)
    return picked


def sweep(connection: Connection, until: int) -> int:
    """Close the buckets before `until` (ms) that are not closed yet, and the hours and days that end by then.

    They get their quartiles; those whose count is not that of raw are marked. Returns how many were marked.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_TURNS)
        row = cursor.fetchone()
        since = bucket_of(int(row[0].timestamp() * 1000)) if row else 0
        until = bucket_of(until)
        if until < since + BUCKET_MS:
            return 0
        span = {"since": _time(since), "until": _time(until)}
        cursor.execute(_CLOSED)
        cursor.execute(_CLOSE, span)
        cursor.execute(_QUARTILES, span)
        cursor.execute(_MISMATCHED)
        found = cursor.rowcount
        cursor.execute("UPDATE rollup_reach SET swept = %s", (_time(until),))
        coarser.roll(cursor, _time(until))
    return found


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


class Repairer(threading.Thread):
    """Repairs every few seconds with a connection of its own; `reaches` is set by the main thread."""

    def __init__(self, database: Database, horizon: int, stop: threading.Event) -> None:
        super().__init__(name="repair", daemon=True)
        self.reaches = Reaches(Reach(), Reach())
        self._database = database
        self._horizon = horizon
        self._stop_event = stop

    def run(self) -> None:
        """Until stopped. An error that waiting does not mend ends the thread, and the application with it."""
        try:
            while not self._stop_event.wait(PAUSE_S):
                self.once()
        except Stopping:
            return
        except Exception:
            log.exception("the repair of aggregates has failed")

    def once(self) -> int:
        """Advance, sweep, and repair all that is due. Returns how many buckets were repaired."""
        closed = self.reaches.rollups.closed_until(self._horizon)
        both = min(closed, self.reaches.archive.on_time_until(self._horizon))
        if closed:
            self._database.run(lambda connection: advance(connection, closed))
        if both:
            found = self._database.run(lambda connection: sweep(connection, both))
            if found:
                log.warning("%d buckets differ from raw in their count, and are computed anew", found)
        total = 0
        while not self._stop_event.is_set():
            done = self._database.run(repair)
            total += done
            if done < CHUNK:
                break
        return total
