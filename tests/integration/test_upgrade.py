"""From the schema of 24 November 2026 (migrations up to 0004) to today's, with readings in it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy import migrations, postgres
from spark_jobs import compaction
from spark_jobs.database import Database
from spark_jobs.storing import Store
from tests.integration import pg
from tests.integration.storage_bench import HORIZON, NOW, frames, reading
from web import queries
from web.store import Store as Reading

BEFORE = 4
OLD = NOW - 70 * 86_400_000


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pg.Server]:
    """A server with the old schema, and in it a reading a minute of two hours: 70 days ago, and now."""
    folder = tmp_path / "sql"
    folder.mkdir()
    for path in sorted(migrations.FOLDER.glob("*.sql"))[:BEFORE]:
        shutil.copy(path, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = pg.Server(tmp_path / "home", free.getsockname()[1])
    server.start()
    try:
        with monkeypatch.context() as earlier:
            earlier.setattr(migrations, "FOLDER", folder)
            server.create()
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO sensors (site, sensor, name) VALUES ('bern', 's1', 'Old')")
            cursor.execute("INSERT INTO series (sensor_id, metric) SELECT sensor_id, 'temperature' FROM sensors")
            for start in (OLD, NOW - 7_200_000):
                moment = datetime.fromtimestamp(start / 1000, UTC)
                cursor.execute("SELECT ensure_partition(%s)", (moment,))
                cursor.execute(
                    "INSERT INTO readings SELECT series_id, %s + n * interval '1 minute', n FROM series, "
                    "generate_series(0, 119) n",
                    (moment,),
                )
        yield server
    finally:
        server.stop()
        postgres.remove_data(tmp_path / "home")


def test_an_upgrade_keeps_every_reading_and_what_comes_after_is_stored_sealed_and_compacted(old: pg.Server) -> None:
    assert migrations.migrate(old.config) > 0
    assert migrations.migrate(old.config) == 0
    store = Store(Database(old.config.dsn("writer"), "test"), HORIZON)
    store.store("readings", 0, frames([reading(NOW), reading(OLD, 7.0, hist=True), reading(OLD + 1, hist=True)]))
    owner = old.connect("migrator")
    owner.autocommit = True
    with owner.cursor() as cursor:
        cursor.execute("SELECT seal_readings(%s, 1000)", (datetime.now(UTC) - timedelta(days=36),))
        units = Database(old.config.dsn("writer"), "test").run(compaction.units)
        assert units
        for unit in units:
            compaction.compact(owner, Database(old.config.dsn("writer"), "test"), unit)
        # 240 of before; now, and one of the past, are new; the value of before holds.
        cursor.execute("SELECT count(*), count(DISTINCT ts), min(value) FROM all_readings")
        assert cursor.fetchone() == (242, 242, 0.0)
        cursor.execute("SELECT sum(n) FROM readings_chunks")
        assert cursor.fetchone() == (121,)
    owner.close()
    (row,) = queries.latest(Reading(old.config.dsn("reader")), "bern")
    assert (row.sensor, row.value) == ("s1", 1.0)
