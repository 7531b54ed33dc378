"""A backup is worth what its restore is: real dumps, real restores, and the ledger balances afterwards."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from deploy import backup, migrations, postgres
from spark_jobs.database import Database
from spark_jobs.records import Record
from spark_jobs.storing import Store
from tests.integration import pg
from weir import topics
from weir.errors import SetupError
from weir.readings import Reading, encode_frame
from weir.settings import Settings

NOW = int(time.time() * 1000)


@pytest.fixture
def server() -> Iterator[pg.Server]:
    with pg.server() as one:
        yield one


def records(first: int, last: int) -> list[Record]:
    """Kafka's records with offsets `first` to `last`, one reading each."""
    return [
        Record(
            i,
            NOW,
            encode_frame(
                [Reading(site="bern", sensor="s-1", ts=NOW - i * 1000, metrics={"t": float(i)}, seq=i, rx=NOW)]
            ),
        )
        for i in range(first, last + 1)
    ]


def archive(config: Settings, some: list[Record]) -> None:
    database = Database(config.dsn("writer"), "test")
    Store(database, 480_000).store(topics.READINGS, 0, some)
    database.close()


def accounted(config: Settings) -> tuple[int, int, int]:
    """(stored and duplicate by the ledger, rows that are there)."""
    connection = psycopg2.connect(config.dsn("reader"))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(stored), sum(duplicate) FROM ledger")
            stored, duplicate = cursor.fetchone() or (0, 0)
            cursor.execute("SELECT count(*) FROM readings")
            rows = (cursor.fetchone() or (0,))[0]
    finally:
        connection.close()
    return int(stored), int(duplicate), int(rows)


def test_after_a_restore_kafka_gives_the_rest_and_the_ledger_balances(server: pg.Server, tmp_path: Path) -> None:
    config = server.config
    archive(config, records(0, 199))
    file = tmp_path / "weir.dump"
    assert backup.backup(config, file) == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600
    archive(config, records(200, 299))
    for name in ("archive", "rollups"):
        (config.home / "spark" / name).mkdir(parents=True)
    old = backup.restore(config, file)
    assert accounted(config) == (200, 0, 200)
    assert not (config.home / "spark" / "archive").exists()
    archive(config, records(0, 299))  # without its checkpoint Spark begins at the oldest record
    assert accounted(config) == (300, 0, 300)
    assert accounted(config.model_copy(update={"postgres_db": old})) == (300, 0, 300)
    assert migrations.migrate(config) == 0


def test_a_restored_database_keeps_the_roles_apart(server: pg.Server, tmp_path: Path) -> None:
    file = tmp_path / "weir.dump"
    backup.backup(server.config, file)
    backup.restore(server.config, file)
    with server.connect("reader") as reader, reader.cursor() as cursor, pytest.raises(psycopg2.Error):
        cursor.execute("DELETE FROM readings")
    with server.connect("writer") as writer, writer.cursor() as cursor, pytest.raises(psycopg2.Error):
        cursor.execute("DROP TABLE readings")


def test_a_file_that_is_no_backup_leaves_everything_as_it_was(server: pg.Server, tmp_path: Path) -> None:
    archive(server.config, records(0, 9))
    file = tmp_path / "torn.dump"
    backup.backup(server.config, file)
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(SetupError, match=r"^pg_restore failed: [^\n]+$"):
        backup.restore(server.config, file)
    assert accounted(server.config) == (10, 0, 10)


def test_a_backup_never_overwrites_another_and_leaves_no_half_one(server: pg.Server, tmp_path: Path) -> None:
    file = tmp_path / "weir.dump"
    file.write_text("precious")
    with pytest.raises(SetupError, match="is there already"):
        backup.backup(server.config, file)
    assert file.read_text() == "precious"
    away = server.config.model_copy(update={"postgres_db": "nowhere"})
    with pytest.raises(SetupError, match=r'^pg_dump failed: .*database "nowhere" does not exist'):
        backup.backup(away, tmp_path / "other.dump")
    assert [path.name for path in tmp_path.iterdir()] == ["weir.dump"]


def test_a_missing_backup_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="does not exist"):
        backup.restore(Settings(home=tmp_path), tmp_path / "none")


def test_an_installation_of_an_earlier_release_is_migrated_with_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first release's tables, filled; then every migration since, as `weir up` applies them."""
    all_of_them = migrations.FOLDER
    first = tmp_path / "sql"
    first.mkdir()
    shutil.copy(all_of_them / "0001_schema.sql", first)
    home = tmp_path / "home"
    server = pg.Server(home, pg_port())
    try:
        server.start()
        postgres.ensure_database(server.config)
        monkeypatch.setattr(migrations, "FOLDER", first)
        assert migrations.migrate(server.config) == 1
        with server.connect("writer") as writer, writer.cursor() as cursor:
            cursor.execute("INSERT INTO sensors (site, sensor) VALUES ('bern', 's-1') RETURNING sensor_id")
            sensor = (cursor.fetchone() or (0,))[0]
            cursor.execute("INSERT INTO series (sensor_id, metric) VALUES (%s, 't') RETURNING series_id", (sensor,))
            series = (cursor.fetchone() or (0,))[0]
            cursor.execute(
                "INSERT INTO readings VALUES (%s, now(), 21.5), (%s, now() - interval '1 h', 20)", (series,) * 2
            )
        monkeypatch.setattr(migrations, "FOLDER", all_of_them)
        assert migrations.migrate(server.config) == len(list(all_of_them.glob("*.sql"))) - 1
        with server.connect("reader") as reader, reader.cursor() as cursor:
            cursor.execute("SELECT r.value FROM readings r JOIN series USING (series_id) ORDER BY r.ts")
            assert cursor.fetchall() == [(20.0,), (21.5,)]
        archive(server.config, records(0, 9))
        assert accounted(server.config) == (10, 0, 12)
        assert migrations.migrate(server.config) == 0
    finally:
        server.stop()
        postgres.remove_data(home)


def pg_port() -> int:
    from tests.conftest import free_ports

    return free_ports(1, 28_200)


def test_migrations_go_forward_only_and_have_numbers_of_their_own() -> None:
    names = sorted(path.name for path in migrations.FOLDER.iterdir() if path.suffix == ".sql")
    assert [name for name in names if "rollback" in name] == []
    assert len({name.split("_")[0] for name in names}) == len(names)
