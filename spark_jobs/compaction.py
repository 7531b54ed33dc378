"""Rewrites sealed partitions of raw readings into chunks.

One partition at a time: its rows are read in order of (series, time) and built into chunks beside those that can be
seen, series by series, each step committed. At the end one transaction takes away what they replace, shows them and
drops the partition: a reader sees every reading once, before and after, and a crash at any moment costs at most the
step it interrupts. A chunk that overlaps new readings, or was left short, is built anew together with them; of two
values of one time the one stored first holds.
"""

from __future__ import annotations

import io
import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from spark_jobs import chunk
from spark_jobs.chunk import Chunk
from spark_jobs.database import Database
from spark_jobs.partitions import ensure_partition

log = logging.getLogger("weir.keeper")

#: Rows built and committed at once (a series is never split): about 100 MB of memory.
STEP_ROWS = 1_000_000
#: A chunk of fewer readings is built anew with those that follow it.
SHORT = chunk.SIZE // 2

DEFAULT = "readings_sealed_default"
_COLUMNS = "series_id, first, last, n, unit, step, t2, t4, t8, base, divisor, v2, v4, v8"

_BUILT = "SELECT coalesce(max(series_id), -1) FROM compaction WHERE unit = %s"
_SPANS = """
SELECT series_id, (extract(epoch FROM first) * 1000000)::bigint, (extract(epoch FROM last) * 1000000)::bigint, n
FROM readings_chunks
WHERE series_id = ANY (%s) AND first >= %s AND first < %s ORDER BY series_id, first"""
_LOAD = """
SELECT c.series_id, (extract(epoch FROM p.ts) * 1000000)::bigint, p.value
FROM (VALUES %s) AS w(series_id, at) JOIN readings_chunks c
    ON c.series_id = w.series_id AND c.first = 'epoch'::timestamptz + w.at * interval '1 microsecond'
CROSS JOIN LATERAL chunk_points(
    c.first, c.unit, c.step, c.t2, c.t4, c.t8, c.base, c.divisor, c.v2, c.v4, c.v8) p
ORDER BY 1, 2"""
_PROGRESS = """
INSERT INTO compaction (unit, series_id) VALUES (%s, %s)
ON CONFLICT (unit) DO UPDATE SET series_id = excluded.series_id"""
_HIDE = """
DELETE FROM readings_chunks c USING chunks_replaced r WHERE c.series_id = r.series_id AND c.first = r.first"""
_MONTHS = "SELECT DISTINCT date_trunc('month', first) FROM chunks_building"

Series = tuple[int, np.ndarray, np.ndarray]  # id, times (us), values


def units(connection: Connection) -> list[str]:
    """The sealed partitions that hold readings, oldest first; one under way comes first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child FROM storage_partitions LEFT JOIN compaction ON unit = child "
            "WHERE parent = 'readings_sealed' AND (ends IS NOT NULL OR EXISTS (SELECT FROM readings_sealed_default)) "
            "ORDER BY unit IS NULL, starts"
        )
        return [name for (name,) in cursor.fetchall()]


def compact(reading: Connection, database: Database, unit: str, stop: Callable[[], bool] = lambda: False) -> int:
    """Rewrite one sealed partition. `reading` is a connection of its own, in autocommit. Returns the rows built now.

    Given up (to be gone on with later) when `stop` says so between two steps; returns -1 then.
    """
    (built,) = database.run(lambda connection: _one(connection, _BUILT, unit))
    done = 0
    for series, rows in _steps(reading, unit, built):
        database.run(lambda connection: _build(connection, unit, series))  # noqa: B023 (called at once)
        done += rows
        if stop():
            return -1
    for (month,) in database.run(lambda connection: _all(connection, _MONTHS)):
        database.run(lambda connection: ensure_partition(connection, month))  # noqa: B023
    database.run(lambda connection: _show(connection, unit))
    return done


def _steps(connection: Connection, unit: str, after: int) -> Iterator[tuple[list[Series], int]]:
    """The rows of `unit` with series ids beyond `after`, whole series at a time, some `STEP_ROWS` together."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT series_id, count(*) FROM {unit} WHERE series_id > %s GROUP BY 1 ORDER BY 1", (after,))  # noqa: S608 (a name from the catalogue)
        counts = cursor.fetchall()
        for first, last, rows in _groups(counts):
            data = io.BytesIO()
            cursor.copy_expert(
                f"COPY (SELECT series_id, ts, value FROM {unit} WHERE series_id BETWEEN {first} AND {last} "  # noqa: S608
                "ORDER BY series_id, ts) TO STDOUT WITH BINARY",
                data,
            )
            whole = data.getbuffer()[len(chunk.COPY_HEAD) : -len(chunk.COPY_END)]
            yield list(_split(*chunk.rows(whole))), rows


def _groups(counts: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """(first series, last series, rows) of neighbours that together have about `STEP_ROWS` rows."""
    start, rows = 0, 0
    for at, (series, count) in enumerate(counts):
        rows += count
        if rows >= STEP_ROWS or at == len(counts) - 1:
            yield counts[start][0], series, rows
            start, rows = at + 1, 0


def _split(ids: np.ndarray, ts: np.ndarray, values: np.ndarray) -> Iterator[Series]:
    edges = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    for start, end in itertools.pairwise(edges):
        if end > start:
            yield int(ids[start]), ts[start:end], values[start:end]


@dataclass(frozen=True)
class Span:
    """Where a chunk that can be seen lies, in us."""

    first: int
    last: int
    n: int


def to_rebuild(ts: np.ndarray, spans: list[Span]) -> list[Span]:
    """The chunks of a series that the new readings `ts` (us, ascending) touch: those that any falls into, and a short
    one that new readings of its week come right behind.
    """
    found = []
    for at, span in enumerate(spans):
        low, high = np.searchsorted(ts, [span.first, span.last + 1])
        follower = spans[at + 1].first if at + 1 < len(spans) else None
        week_end = (span.first // chunk.WEEK_US + 1) * chunk.WEEK_US
        until = week_end if follower is None else min(week_end, follower)
        behind = span.n < SHORT and np.searchsorted(ts, until) > high
        if high > low or behind:
            found.append(span)
    return found


def _build(connection: Connection, unit: str, series: list[Series]) -> None:
    """Chunks of `series` into chunks_building, what they replace into chunks_replaced, and how far that is."""
    with connection.cursor() as cursor:
        spans = _spans(cursor, series)
        again = {number: to_rebuild(ts, spans.get(number, [])) for number, ts, _ in series}
        gone = [(number, span.first) for number, some in again.items() for span in some]
        old = _points(cursor, gone)
        made: list[Chunk] = []
        for number, ts, values in series:
            if number in old:
                ts, values = chunk.merged(*old[number], ts, values)
            kept = [span for span in spans.get(number, []) if span not in again[number]]
            for some_ts, some_values in _between(ts, values, kept):
                made += chunk.cut(number, some_ts, some_values)
        data = b"".join([chunk.COPY_HEAD, *(one.copy_row() for one in made), chunk.COPY_END])
        cursor.copy_expert(f"COPY chunks_building ({_COLUMNS}) FROM STDIN WITH BINARY", io.BytesIO(data))
        template = "(%s, 'epoch'::timestamptz + %s * interval '1 microsecond')"
        if gone:
            execute_values(cursor, "INSERT INTO chunks_replaced VALUES %s", gone, template=template, page_size=1000)
        cursor.execute(_PROGRESS, (unit, series[-1][0]))


def _between(ts: np.ndarray, values: np.ndarray, kept: list[Span]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The readings cut apart where a chunk that stays lies between them: no new one may reach over it."""
    edges = np.unique([0, *np.searchsorted(ts, [span.first for span in kept]), len(ts)])
    for start, end in itertools.pairwise(edges):
        yield ts[start:end], values[start:end]


def _spans(cursor: Cursor, series: list[Series]) -> dict[int, list[Span]]:
    low = min(int(ts[0]) for _, ts, _ in series) // chunk.WEEK_US * chunk.WEEK_US
    high = (max(int(ts[-1]) for _, ts, _ in series) // chunk.WEEK_US + 1) * chunk.WEEK_US
    cursor.execute(_SPANS, ([number for number, _, _ in series], _time(low), _time(high)))
    found: dict[int, list[Span]] = {}
    for number, first, last, n in cursor.fetchall():
        found.setdefault(number, []).append(Span(first, last, n))
    return found


def _points(cursor: Cursor, keys: list[tuple[int, int]]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    if not keys:
        return {}
    rows = execute_values(cursor, _LOAD, keys, page_size=len(keys), fetch=True)
    ids = np.array([row[0] for row in rows], dtype=np.int64)
    ts = np.array([row[1] for row in rows], dtype=np.int64)
    values = np.array([row[2] for row in rows], dtype=np.float64)
    return {number: (times, found) for number, times, found in _split(ids, ts, values)}


def _show(connection: Connection, unit: str) -> None:
    """In one transaction: what is built can be seen, what it was built of is gone."""
    with connection.cursor() as cursor:
        cursor.execute(_HIDE)
        cursor.execute(f"INSERT INTO readings_chunks ({_COLUMNS}) SELECT {_COLUMNS} FROM chunks_building")  # noqa: S608
        cursor.execute("DELETE FROM chunks_building")
        cursor.execute("DELETE FROM chunks_replaced")
        cursor.execute("DELETE FROM compaction WHERE unit = %s", (unit,))
        if unit == DEFAULT:
            cursor.execute(f"DELETE FROM {DEFAULT}")  # noqa: S608
        else:
            cursor.execute("SELECT drop_partition('readings_sealed', %s, false)", (unit,))


def _time(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1_000_000, UTC)


def _one(connection: Connection, sql: str, *values: object) -> tuple:
    return _all(connection, sql, *values)[0]


def _all(connection: Connection, sql: str, *values: object) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return cursor.fetchall()
