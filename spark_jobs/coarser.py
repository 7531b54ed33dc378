"""Hours from 5-minute buckets and days from hours, in SQL; each runs in the transaction that changed the finer ones."""

from __future__ import annotations

from datetime import datetime

from psycopg2.extensions import cursor as Cursor

#: (finer table, coarser table, its step, the column of storage_state that says how far it has come)
LEVELS = (
    ("readings_5m", "readings_1h", "1 hour", "rolled_1h"),
    ("readings_1h", "readings_1d", "1 day", "rolled_1d"),
)

# The standard deviation of a whole from its parts: the squared deviations within them and between their means add up
# (Chan, Golub and LeVeque 1979).
_MERGE = """
INSERT INTO {coarse} AS a (series_id, bucket, n, mean, min, max, stddev, first, last)
SELECT series_id, bucket, sum(n), max(whole), min(min), max(max),
       CASE WHEN sum(n) > 1 THEN
           sqrt(sum((n - 1) * coalesce(stddev, 0) ^ 2 + n * (mean - whole) ^ 2) / (sum(n) - 1)) END,
       (array_agg(first ORDER BY part))[1], (array_agg(last ORDER BY part DESC))[1]
FROM (
    SELECT w.series_id, w.bucket, f.bucket AS part, f.n, f.mean, f.min, f.max, f.stddev, f.first, f.last,
           sum(f.n * f.mean) OVER each / sum(f.n) OVER each AS whole
    FROM wanted w JOIN LATERAL (
        SELECT * FROM {fine}
        WHERE series_id = w.series_id AND bucket >= w.bucket AND bucket < w.bucket + interval '{step}') f ON true
    WINDOW each AS (PARTITION BY w.series_id, w.bucket)
) parts
GROUP BY series_id, bucket
ON CONFLICT (series_id, bucket) DO UPDATE SET
    n = excluded.n, mean = excluded.mean, min = excluded.min, max = excluded.max, stddev = excluded.stddev,
    first = excluded.first, last = excluded.last"""
_WANTED = "CREATE TEMP TABLE IF NOT EXISTS wanted (series_id integer, bucket timestamptz) ON COMMIT DELETE ROWS"
_REACH = "SELECT {reach}, date_bin('{step}', %s, 'epoch') FROM storage_state"
_ADVANCE = "UPDATE storage_state SET {reach} = %s"
_DUE = """
INSERT INTO wanted
SELECT DISTINCT s.series_id, date_bin('{step}', f.bucket, 'epoch') FROM series s CROSS JOIN LATERAL (
    SELECT bucket FROM {fine} WHERE series_id = s.series_id AND bucket >= %(since)s AND bucket < %(until)s) f"""
_AGAIN = """
INSERT INTO wanted
SELECT DISTINCT series_id, date_bin('{step}', bucket, 'epoch') FROM picked
WHERE date_bin('{step}', bucket, 'epoch') + interval '{step}' <= (SELECT {reach} FROM storage_state)"""
_REMOVE_EMPTY = """
DELETE FROM {coarse} a USING wanted w
WHERE a.series_id = w.series_id AND a.bucket = w.bucket AND NOT EXISTS (
    SELECT FROM {fine} f
    WHERE f.series_id = w.series_id AND f.bucket >= w.bucket AND f.bucket < w.bucket + interval '{step}')"""


def roll(cursor: Cursor, swept: datetime) -> None:
    """Roll up the hours and days that end at or before `swept`, up to where the 5-minute buckets are complete."""
    for fine, coarse, step, reach in LEVELS:
        names = {"fine": fine, "coarse": coarse, "step": step, "reach": reach}
        cursor.execute(_REACH.format(**names), (swept,))
        since, until = cursor.fetchone() or (swept, swept)
        if until > since:
            cursor.execute(_WANTED)
            cursor.execute(_DUE.format(**names), {"since": since, "until": until})
            _merge(cursor, names)
            cursor.execute(_ADVANCE.format(**names), (until,))


def again(cursor: Cursor) -> None:
    """Roll up anew the complete hours and days of the buckets in the temporary table `picked`."""
    for fine, coarse, step, reach in LEVELS:
        names = {"fine": fine, "coarse": coarse, "step": step, "reach": reach}
        cursor.execute(_WANTED)
        cursor.execute(_AGAIN.format(**names))
        if cursor.rowcount:
            _merge(cursor, names)


def _merge(cursor: Cursor, names: dict[str, str]) -> None:
    cursor.execute("SELECT count(*) FROM wanted")
    (wanted,) = cursor.fetchone() or (0,)
    cursor.execute(_MERGE.format(**names))
    if cursor.rowcount < wanted:
        cursor.execute(_REMOVE_EMPTY.format(**names))
    cursor.execute("DELETE FROM wanted")
