"""A store, a repairer and a keeper's hands on a real Postgres, and readings to give them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg2

from spark_jobs import compaction
from spark_jobs.database import Database
from spark_jobs.records import Record
from spark_jobs.rollups import Writer
from spark_jobs.storing import Store
from tests.conftest import eventually
from tests.integration import pg
from weir.readings import Reading, encode_frame

HORIZON = 8 * 60_000
NOW = int(datetime.now(UTC).timestamp() * 1000)
MINUTE = NOW - NOW % 60_000
TABLES = (
    "readings, readings_sealed, readings_chunks, chunks_building, chunks_replaced, compaction, readings_5m, "
    "readings_1h, readings_1d, latest, dirty_buckets, late_buckets, anomalies, alerts, alert_history, dead_letters, "
    "ledger_records, ledger"
)


class Bench:
    """A store, a repairer and a look into the tables."""

    def __init__(self, server: pg.Server) -> None:
        self.server = server
        self.owner = server.connect("migrator")
        self.owner.autocommit = True
        self.empty()

    def empty(self) -> None:
        self.sql(f"TRUNCATE {TABLES}, series, sensors RESTART IDENTITY")
        self.sql("UPDATE rollup_reach SET reach = 'epoch', swept = now() - interval '3 days'")
        self.sql(
            "UPDATE storage_state SET sealed_until = '-infinity', dropped_until = '-infinity', "
            "rolled_1h = date_bin('1 hour', now() - interval '3 days', 'epoch'), "
            "rolled_1d = date_bin('1 day', now() - interval '3 days', 'epoch')"
        )
        self.store = Store(Database(self.server.config.dsn("writer"), "test"), HORIZON)
        self.rollups = Writer(Database(self.server.config.dsn("writer"), "test"))
        self.writer = Database(self.server.config.dsn("writer"), "test")

    def sql(self, text: str, *values: object) -> list[tuple]:
        with self.owner.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def ledger(self) -> tuple[int, int, int]:
        text = (
            "SELECT coalesce(sum(stored), 0), coalesce(sum(dead_lettered), 0), coalesce(sum(duplicate), 0) FROM ledger"
        )
        return tuple(int(n) for n in self.sql(text)[0])  # type: ignore[return-value]

    def compact(self) -> None:
        """Everything raw that there is goes into chunks."""
        eventually(self._seal)
        for unit in self.writer.run(compaction.units):
            compaction.compact(self.owner, self.writer, unit)

    def _seal(self) -> bool:
        """As the keeper does: an autovacuum that holds a table costs a round."""
        try:
            self.sql("SELECT seal_readings(%s, 1000)", datetime.fromtimestamp(NOW / 1000, UTC) + timedelta(days=2))
        except psycopg2.errors.LockNotAvailable:
            return False
        return True

    def count(self, table: str) -> int:
        return self.sql(f"SELECT count(*) FROM {table}")[0][0]


def reading(ts: int, value: float = 1.0, sensor: str = "s1", rx: int | None = None, **more: object) -> Reading:
    metrics = more.pop("metrics", {"temperature": value})
    return Reading("bern", sensor, ts, rx if rx is not None else max(ts, MINUTE), metrics, **more)  # type: ignore[arg-type]


def frames(*batches: list[Reading], start: int = 0) -> list[Record]:
    """Records of the topic, each appended when its first reading was received."""
    return [Record(start + i, batch[0].rx, encode_frame(batch)) for i, batch in enumerate(batches)]
