"""Stores what people say of sensors: in `sensors`, where a trigger lays it over births, and in `sensor_history`."""

from __future__ import annotations

import msgspec
from psycopg2.extensions import cursor as Cursor

from spark_jobs.records import clean
from weir.readings import Edit, SensorEvent

_EDIT = """
INSERT INTO sensors (site, sensor, edit) VALUES (%s, %s, %s)
ON CONFLICT (site, sensor) DO UPDATE SET edit = excluded.edit"""
_HISTORY = """
INSERT INTO sensor_history (site, sensor, at, by, edit) VALUES (%s, %s, to_timestamp(%s / 1000.0), %s, %s)
ON CONFLICT DO NOTHING"""


def put_edit(cursor: Cursor, event: SensorEvent, edit: Edit) -> None:
    """Store one edit; the same edit again changes nothing, and the last one of the topic holds."""
    said = clean(msgspec.json.encode(edit).decode())
    cursor.execute(_EDIT, (event.site, event.sensor, said))
    cursor.execute(_HISTORY, (event.site, event.sensor, event.at, clean(edit.by), said))
