"""The statements for everything but readings: flags, alerts, sensors, dead letters and the ledger."""

from __future__ import annotations

from typing import Any

import msgspec
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from spark_jobs.edits import put_edit
from spark_jobs.records import Letter, clean, payload_of
from spark_jobs.series import SeriesIds
from spark_jobs.tally import Row, Tally
from weir.events import Alert, DeadLetter, Flag
from weir.readings import SensorEvent

# Times come in ms; a double holds them to the microsecond until the year 2250.
_FLAGS = """
INSERT INTO anomalies (series_id, ts, value, score, q1, q3, low, high, n, detector, version, feature, at)
VALUES %s ON CONFLICT DO NOTHING"""
_FLAG_ROW = "(%s, to_timestamp(%s / 1000.0), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s / 1000.0))"

_ALERT = """
INSERT INTO alerts (id, site, sensor, metric, rule, severity, state, acknowledged, opened, at, n, text, by,
                    shelved_until)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0), %s, %s, %s,
        to_timestamp(%s / 1000.0))
ON CONFLICT (id) DO UPDATE SET
    severity = excluded.severity, state = excluded.state, acknowledged = excluded.acknowledged, at = excluded.at,
    n = excluded.n, text = excluded.text, by = excluded.by, shelved_until = excluded.shelved_until
WHERE excluded.n > alerts.n"""
_ALERT_HISTORY = """
INSERT INTO alert_history (id, n, at, state, acknowledged, by, text)
VALUES (%s, %s, to_timestamp(%s / 1000.0), %s, %s, %s, %s) ON CONFLICT DO NOTHING"""

_BIRTH = """
INSERT INTO sensors (site, sensor, kind, name, lat, lon, metrics, state, seen)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s / 1000.0))
ON CONFLICT (site, sensor) DO UPDATE SET
    kind = excluded.kind, name = excluded.name, lat = excluded.lat, lon = excluded.lon, metrics = excluded.metrics,
    state = coalesce(excluded.state, sensors.state), seen = greatest(excluded.seen, sensors.seen)"""
_STATE = """
INSERT INTO sensors (site, sensor, state, seen) VALUES (%s, %s, %s, to_timestamp(%s / 1000.0))
ON CONFLICT (site, sensor) DO UPDATE SET
    state = excluded.state, seen = greatest(excluded.seen, sensors.seen)"""

_LETTERS = """
INSERT INTO dead_letters (id, source, reason, detail, at, payload) VALUES %s
ON CONFLICT (id) DO NOTHING RETURNING id"""
_LETTER_ROW = "(%s, %s, %s, %s, to_timestamp(%s / 1000.0), %s)"

_LEDGER = """
INSERT INTO ledger AS l (minute, stored, dead_lettered, duplicate, late) VALUES %s
ON CONFLICT (minute) DO UPDATE SET
    stored = l.stored + excluded.stored, dead_lettered = l.dead_lettered + excluded.dead_lettered,
    duplicate = l.duplicate + excluded.duplicate, late = l.late + excluded.late"""
_LATE = """
INSERT INTO late_buckets AS l (series_id, bucket, n) VALUES %s
ON CONFLICT (series_id, bucket) DO UPDATE SET n = l.n + excluded.n"""
# DO UPDATE, not DO NOTHING: it waits for a repair that is just clearing the mark, and then marks anew.
_DIRTY = """
INSERT INTO dirty_buckets (series_id, bucket)
SELECT s, to_timestamp(b / 1000.0) FROM unnest(%s::int[], %s::bigint[]) AS m(s, b)
ON CONFLICT (series_id, bucket) DO UPDATE SET bucket = excluded.bucket"""


def put_flags(cursor: Cursor, flags: list[Flag], ids: SeriesIds) -> None:
    """Store flags; the same flag again changes nothing."""
    rows = [
        (ids[f.site, f.sensor, f.metric], f.ts, f.value, f.score, f.q1, f.q3, f.low, f.high, f.window, f.detector,
         f.version, f.feature, f.at)
        for f in flags
    ]  # fmt: skip
    execute_values(cursor, _FLAGS, rows, template=_FLAG_ROW, page_size=1000)


def put_alerts(cursor: Cursor, alerts: list[Alert]) -> None:
    """Store transitions: the latest of an alert in `alerts`, each in `alert_history`."""
    for a in alerts:
        cursor.execute(
            _ALERT,
            (a.id, a.site, a.sensor, a.metric, a.rule, a.severity, a.state.value, a.acknowledged, a.opened, a.at, a.n,
             a.text, a.by, a.shelved_until or None),
        )  # fmt: skip
        cursor.execute(_ALERT_HISTORY, (a.id, a.n, a.at, a.state.value, a.acknowledged, a.by, a.text))


def put_sensors(cursor: Cursor, events: list[SensorEvent]) -> None:
    """Store births, states and what people said, in the order of the topic: the last one holds."""
    for e in events:
        if e.birth is not None:
            b = e.birth
            metrics = msgspec.json.encode(b.metrics).decode()
            cursor.execute(_BIRTH, (e.site, e.sensor, b.kind, b.name, b.lat, b.lon, metrics, e.state, e.at))
        elif e.edit is not None:
            put_edit(cursor, e, e.edit)
        elif e.state is not None:
            cursor.execute(_STATE, (e.site, e.sensor, e.state, e.at))


def put_dead_letters(cursor: Cursor, letters: list[DeadLetter]) -> set[str]:
    """Store dead letters. Returns the ids of those that were new."""
    rows = [
        (clean(one.id), clean(one.source), clean(one.reason), clean(one.detail), one.at, payload_of(one))
        for one in letters
    ]
    found = execute_values(cursor, _LETTERS, rows, template=_LETTER_ROW, page_size=500, fetch=True)
    return {row[0] for row in found}


def put_letters(cursor: Cursor, letters: list[Letter], tally: Tally) -> None:
    """Store and count what the archive itself refuses."""
    rows = [(one.id, one.source, one.reason, one.detail, one.at, one.payload) for one in letters]
    if rows:
        execute_values(cursor, _LETTERS, rows, template=_LETTER_ROW, page_size=500)
    for one in letters:
        tally.refused(one.offset, one.rx)


def put_tally(cursor: Cursor, tally: Tally) -> None:
    """Add the counts to the ledger and mark dirty buckets, in one order everywhere (no deadlocks)."""
    mark_dirty(cursor, tally.dirty)
    if tally.late_in:
        late = [(*row, n) for row, n in sorted(tally.late_in.items())]
        execute_values(cursor, _LATE, late, template="(%s, to_timestamp(%s / 1000.0), %s)", page_size=1000)
    rows: list[Any] = tally.ledger()
    if rows:
        execute_values(cursor, _LEDGER, rows, template="(to_timestamp(%s / 1000.0), %s, %s, %s, %s)", page_size=1000)


def mark_dirty(cursor: Cursor, dirty: set[Row]) -> None:
    """Mark buckets (series id, start in ms) to be computed from raw."""
    if dirty:
        rows = sorted(dirty)
        cursor.execute(_DIRTY, ([series for series, _ in rows], [bucket for _, bucket in rows]))


def next_offset(cursor: Cursor, topic: str, partition: int) -> int:
    """The first offset of the partition that was not counted yet; locks its row until the end of the transaction."""
    cursor.execute(
        "INSERT INTO ledger_records (topic, partition, next_offset) VALUES (%s, %s, 0) ON CONFLICT DO NOTHING",
        (topic, partition),
    )
    cursor.execute(
        "SELECT next_offset FROM ledger_records WHERE topic = %s AND partition = %s FOR UPDATE", (topic, partition)
    )
    (offset,) = cursor.fetchone() or (0,)
    return offset


def move_offset(cursor: Cursor, topic: str, partition: int, offset: int) -> None:
    """Everything below `offset` is counted. Never moves back."""
    cursor.execute(
        "UPDATE ledger_records SET next_offset = greatest(next_offset, %s) WHERE topic = %s AND partition = %s",
        (offset, topic, partition),
    )
