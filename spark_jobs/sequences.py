"""The `sequences` table: load the tracks of a chunk's sensors, take its readings, store what changed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from spark_jobs.records import Item
from spark_jobs.sequence import Track

_LOAD = """
SELECT s.site, s.sensor, seq, (extract(epoch FROM ts) * 1000)::bigint, gaps, given_up
FROM sequences s JOIN unnest(%s::text[], %s::text[]) AS w(site, sensor) USING (site, sensor)"""
_STORE = """
INSERT INTO sequences (site, sensor, seq, ts, gaps, given_up, absent) VALUES %s
ON CONFLICT (site, sensor) DO UPDATE SET seq = excluded.seq, ts = excluded.ts, gaps = excluded.gaps,
    given_up = excluded.given_up, absent = excluded.absent"""
_ROW = "(%s, %s, %s, to_timestamp(%s / 1000.0), %s, %s, %s)"


def take(cursor: Cursor, items: Iterable[Item], done: int) -> None:
    """Follow the counters of `items`, in order; records below offset `done` were taken before."""
    fresh = [item.reading for item in items if item.reading.seq is not None and item.record.offset >= done]
    if not fresh:
        return
    names = sorted({(reading.site, reading.sensor) for reading in fresh})
    cursor.execute(_LOAD, ([site for site, _ in names], [sensor for _, sensor in names]))
    tracks = {(site, sensor): Track(seq, ts, gaps, lost) for site, sensor, seq, ts, gaps, lost in cursor.fetchall()}
    for reading in fresh:
        key, seq = (reading.site, reading.sensor), reading.seq or 0
        if key in tracks:
            tracks[key].take(seq, reading.ts)
        else:
            tracks[key] = Track(seq, reading.ts)
    rows = [
        (*key, track.seq, track.ts, msgspec.json.encode(track.gaps).decode(), track.given_up, track.absent)
        for key, track in sorted(tracks.items())
    ]
    execute_values(cursor, _STORE, rows, template=_ROW, page_size=1000)
