"""Drops whole partitions that are older than is to be kept; never a row at a time."""

from __future__ import annotations

from datetime import datetime

from psycopg2.extensions import connection as Connection

from weir.retention import rules
from weir.settings import Settings

_FORGET_LATE = "DELETE FROM late_buckets WHERE bucket < (SELECT dropped_until FROM storage_state)"
_PARTITIONS = "SELECT child, ends FROM storage_partitions WHERE parent = %s AND ends IS NOT NULL ORDER BY ends"


def drop(connection: Connection, config: Settings, now: datetime) -> list[str]:
    """Drop what is due at `now`. Returns the names. What is being compacted just now is dropped when it is done."""
    dropped = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT unit FROM compaction")
        busy = {unit for (unit,) in cursor.fetchall()}
        for rule in rules(config):
            cursor.execute(_PARTITIONS, (rule.table,))
            for name, ends in cursor.fetchall():
                due = rule.drops_at(ends)
                if due is not None and due <= now and name not in busy:
                    cursor.execute("SELECT drop_partition(%s, %s, true)", (rule.table, name))
                    dropped.append(name)
        if dropped:
            cursor.execute(_FORGET_LATE)
    return dropped
