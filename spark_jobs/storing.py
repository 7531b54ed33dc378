"""Stores a chunk of one Kafka partition in one transaction, together with its count: any batch may be replayed.

The row of the partition in `ledger_records` is locked first, so two writers of the same partition (a frozen one that
wakes up) take turns. Raw readings are never changed once stored: the first value of a (series, time) holds.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from spark_jobs import sequences, tables
from spark_jobs.database import Database
from spark_jobs.partitions import Partitions
from spark_jobs.poison import bisect
from spark_jobs.records import Item, Letter, Place, Record, decode, items_of, sane
from spark_jobs.series import Name, SeriesIds
from spark_jobs.tally import Tally
from weir import topics
from weir.errors import Refused
from weir.readings import Reading

_INCOMING = """
CREATE TEMP TABLE IF NOT EXISTS incoming (k integer, series_id integer, ts bigint, value double precision)
ON COMMIT DELETE ROWS"""
# In the index's order: what arrived of one series in a batch then lies together, and pages of the index fill up.
_INSERT = """
WITH it AS MATERIALIZED (
    SELECT k, series_id, 'epoch'::timestamptz + ts * interval '1 millisecond' AS ts, value FROM incoming
), new AS (
    INSERT INTO readings (series_id, ts, value) SELECT series_id, ts, value FROM it ORDER BY series_id, ts
    ON CONFLICT DO NOTHING RETURNING series_id, ts
)
SELECT it.k, it.series_id FROM it LEFT JOIN new USING (series_id, ts) WHERE new.series_id IS NULL"""

# Rows measured before `sealed_until` may be in readings_sealed or readings_chunks already: no unique index spans all
# three, so they are looked up, series and week at a time (no chunk reaches over the end of its week).
_KNOWN = """
WITH old AS MATERIALIZED (
    SELECT k, series_id, 'epoch'::timestamptz + ts * interval '1 millisecond' AS ts FROM incoming WHERE ts < %s
), span AS MATERIALIZED (
    SELECT series_id, date_bin('7 days', ts, 'epoch') AS week, min(ts) AS lo, max(ts) AS hi FROM old GROUP BY 1, 2
), known AS MATERIALIZED (
    SELECT s.series_id, r.ts FROM span s CROSS JOIN LATERAL (
        SELECT ts FROM readings_sealed WHERE series_id = s.series_id AND ts BETWEEN s.lo AND s.hi
        UNION ALL
        SELECT p.ts FROM readings_chunks c CROSS JOIN LATERAL chunk_points(
            c.first, c.unit, c.step, c.t2, c.t4, c.t8, c.base, c.divisor, c.v2, c.v4, c.v8) p
        WHERE c.series_id = s.series_id AND c.first >= s.week AND c.first <= s.hi AND c.last >= s.lo) r
)
DELETE FROM incoming i USING old JOIN known USING (series_id, ts)
WHERE i.k = old.k AND i.series_id = old.series_id RETURNING i.k, i.series_id"""
_LATEST = """
INSERT INTO latest AS l (series_id, ts, value)
SELECT DISTINCT ON (series_id) series_id, 'epoch'::timestamptz + ts * interval '1 millisecond', value
FROM incoming ORDER BY series_id, ts DESC, k
ON CONFLICT (series_id) DO UPDATE SET ts = excluded.ts, value = excluded.value WHERE excluded.ts > l.ts"""

Outcome = list[tuple[Item, list[int], set[int]]]  # reading, series ids of its values, those already there


class Store:
    """Writes chunks. Holds what is worth keeping between them: connection, series ids, known partitions."""

    def __init__(
        self, database: Database, horizon: int, stored: Callable[[list[Reading]], object] = lambda _: None
    ) -> None:
        """`stored` is told which readings have just been committed."""
        self._stored = stored
        self._database = database
        self._horizon = horizon
        self._ids = SeriesIds()
        self._partitions = Partitions()

    def store(self, topic: str, partition: int, records: list[Record]) -> None:
        """Store `records` (ordered by offset) of one partition. Waits while Postgres is away.

        What cannot be decoded, or Postgres will not take, becomes a dead letter.
        """
        if not records:
            return
        place = Place(topic, partition)
        prepare = self._readings if topic == topics.READINGS else self._others
        write = prepare(place, records)

        def work(connection: Connection) -> list[Reading]:
            with connection.cursor() as cursor:
                tally = Tally(tables.next_offset(cursor, topic, partition))
                readings = write(cursor, tally)
                tables.put_tally(cursor, tally)
                tables.move_offset(cursor, topic, partition, records[-1].offset + 1)
            return readings

        committed = self._database.run(work)
        if committed:
            self._stored(committed)

    def _readings(self, place: Place, records: list[Record]) -> Callable[[Cursor, Tally], list[Reading]]:
        items, letters = items_of(place, records, self._ids.__contains__)
        self._ids.learn(self._database, (name for item in items for name in _names(item)))
        self._partitions.ensure(self._database, (item.reading.ts for item in items))

        def write(cursor: Cursor, tally: Tally) -> list[Reading]:
            cursor.execute(_INCOMING)
            sealed = _sealed_until(cursor)
            done, refused = bisect(cursor, items, lambda some: _insert(cursor, some, self._ids, sealed))
            for outcome in done:
                for item, rows, conflicts in outcome:
                    tally.reading(item, rows, conflicts, self._horizon)
            sequences.take(cursor, (item for part in done for item, _, _ in part), tally.done)
            poison = [place.letter(item.record, error, item.index, item.reading.rx) for item, error in refused]
            tables.put_letters(cursor, letters + poison, tally)
            return [item.reading for item in items]

        return write

    def _others(self, place: Place, records: list[Record]) -> Callable[[Cursor, Tally], list[Reading]]:
        decoded: list[tuple[Record, Any]] = []
        letters: list[Letter] = []
        for record in records:
            if record.value is None:
                continue
            try:
                decoded.append((record, decode(place.topic, record.value)))
            except Refused as error:
                letters.append(place.letter(record, error))
        if place.topic == topics.ANOMALIES:
            self._ids.learn(self._database, ((f.site, f.sensor, f.metric) for _, f in decoded))

        def write(cursor: Cursor, tally: Tally) -> list[Reading]:
            done, refused = bisect(cursor, decoded, lambda some: self._put(cursor, place.topic, some))
            if place.topic == topics.DEAD_LETTERS:
                _count_letters([one for part in done for one in part], tally)
            tables.put_letters(cursor, letters + [place.letter(one[0], error) for one, error in refused], tally)
            return []

        return write

    def _put(self, cursor: Cursor, topic: str, decoded: list[tuple[Record, Any]]) -> list[tuple[Record, Any, bool]]:
        """Returns each dead letter with whether it is new; nothing for the other topics."""
        values = [value for _, value in decoded]
        if topic == topics.ANOMALIES:
            tables.put_flags(cursor, values, self._ids)
        elif topic == topics.ALERTS:
            tables.put_alerts(cursor, values)
        elif topic == topics.SENSORS:
            tables.put_sensors(cursor, values)
        else:
            fresh = tables.put_dead_letters(cursor, values)
            found = []
            for record, letter in decoded:
                found.append((record, letter, letter.id in fresh))
                fresh.discard(letter.id)  # the same id again in this chunk is a repetition
            return found
        return []


def _names(item: Item) -> list[Name]:
    reading = item.reading
    return [(reading.site, reading.sensor, metric) for metric in reading.metrics]


def _sealed_until(cursor: Cursor) -> int:
    """Readings measured before this (ms) may be sealed. It cannot move until the transaction ends."""
    cursor.execute("LOCK TABLE readings IN ROW EXCLUSIVE MODE")
    cursor.execute(
        "SELECT (extract(epoch FROM sealed_until) * 1000)::bigint FROM storage_state WHERE isfinite(sealed_until)"
    )
    (sealed,) = cursor.fetchone() or (0,)
    return sealed


def _insert(cursor: Cursor, items: list[Item], ids: SeriesIds, sealed: int) -> Outcome:
    """`COPY` into a temporary table, then INSERT: 200,000 rows a second, where single statements make 10,000."""
    lines: list[str] = []
    seen: set[tuple[int, int]] = set()
    outcome: Outcome = []
    for k, item in enumerate(items):
        reading = item.reading
        rows: list[int] = []
        conflicts: set[int] = set()
        for metric, value in reading.metrics.items():
            series = ids[reading.site, reading.sensor, metric]
            rows.append(series)
            key = (series, reading.ts)
            if key in seen:
                conflicts.add(series)
            else:
                seen.add(key)
                lines.append(f"{k}\t{series}\t{reading.ts}\t{value!r}\n")
        outcome.append((item, rows, conflicts))
    cursor.copy_expert("COPY incoming FROM STDIN", io.StringIO("".join(lines)))
    found: list[tuple[int, int]] = []
    if any(item.reading.ts < sealed for item in items):
        cursor.execute(_KNOWN, (sealed,))
        found += cursor.fetchall()
    cursor.execute(_INSERT)
    found += cursor.fetchall()
    for k, series in found:
        outcome[k][2].add(series)
    cursor.execute(_LATEST)
    cursor.execute("TRUNCATE incoming")
    return outcome


def _count_letters(found: list[tuple[Record, Any, bool]], tally: Tally) -> None:
    for record, letter, fresh in found:
        at = sane(letter.at, record.at)
        if fresh:
            tally.refused(record.offset, at)
        else:
            tally.repeated(record.offset, at)
