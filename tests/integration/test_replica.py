"""A streaming replica: what the dashboard reads comes from it, and from the primary while it is away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy import postgres
from tests.conftest import eventually, free_ports
from tests.integration import pg
from web import queries, store
from web.store import Store
from weir.settings import Settings


class Replica:
    """Made from a running primary as docs/scaling.md says; `config` is that of a dashboard that reads from it."""

    def __init__(self, primary: Settings) -> None:
        self._place = postgres.place(primary.home)
        self._who: dict[str, Any] = (
            {"user": self._place.user, "group": self._place.user, "extra_groups": []} if self._place.user else {}
        )
        parent = None if self._place.user is None else self._place.data.parent
        self.data = Path(tempfile.mkdtemp(prefix="replica-", dir=parent))
        if self._place.user is not None:
            shutil.chown(self.data, self._place.user, self._place.user)
        self.port = free_ports(1, 28_600)
        self.config = primary.model_copy(update={"postgres_read_host": "127.0.0.1", "postgres_read_port": self.port})
        source = f"host=127.0.0.1 port={primary.postgres_port} user=postgres"
        self._run("pg_basebackup", "--checkpoint=fast", "--write-recovery-conf", "-D", str(self.data), "-d", source)
        self._process: subprocess.Popen[bytes] | None = None

    def _run(self, tool: str, *arguments: str) -> None:
        environment = {**os.environ, "PGPASSWORD": "test"}
        command = [str(self._place.binaries / tool), *arguments]
        subprocess.run(command, cwd="/", env=environment, check=True, capture_output=True, **self._who)

    def start(self) -> None:
        command = [str(self._place.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        self._process = subprocess.Popen(
            command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._who
        )

    def stop(self) -> None:
        """At once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.data)


@pytest.fixture(scope="module")
def primary() -> Iterator[pg.Server]:
    with pg.server() as one:
        place = postgres.place(one.config.home)
        with (place.data / "pg_hba.conf").open("a") as file:
            file.write("host replication postgres 127.0.0.1/32 scram-sha-256\n")
        one.stop()
        one.start()
        yield one


@pytest.fixture
def replica(primary: pg.Server) -> Iterator[Replica]:
    one = Replica(primary.config)
    try:
        one.start()
        yield one
    finally:
        one.remove()


def where(reading: Store) -> str:
    ((standby,),) = reading.rows("SELECT pg_is_in_recovery()")
    return "replica" if standby else "primary"


def read_from(replica: Replica, name: str, seconds: float = 30) -> Store:
    """A dashboard's store, made anew until it has come to that server."""
    dsn = replica.config.dsn("reader", replica=True)
    return eventually(lambda: where(made := Store(dsn)) == name and made, seconds)


def write(primary: pg.Server, sensor: str) -> None:
    with primary.connect() as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO sensors (site, sensor) VALUES ('bern', %s) RETURNING sensor_id", (sensor,))
    connection.close()


def test_what_is_written_to_the_primary_is_read_from_the_replica(primary: pg.Server, replica: Replica) -> None:
    reading = read_from(replica, "replica")
    write(primary, "s-1")
    assert eventually(lambda: ("bern", "s-1") in queries.sensors(reading))
    assert where(reading) == "replica"


def test_every_query_of_the_dashboard_can_be_asked_of_a_replica(primary: pg.Server, replica: Replica) -> None:
    reading = read_from(replica, "replica")
    now = int(time.time() * 1000)
    queries.ping(reading)
    queries.latest(reading, "bern")
    queries.site_summary(reading, now)
    queries.status_counts(reading, now)
    queries.dead_letters(reading)
    queries.alert_history(reading)
    queries.ledger(reading, {}, now)
    assert where(reading) == "replica"


def test_a_replica_that_dies_leaves_the_reading_to_the_primary_until_it_is_back(
    primary: pg.Server, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = read_from(replica, "replica")
    replica.stop()
    assert where(reading) == "primary", "the same store, whose pooled connection is gone"
    replica.start()
    read_from(replica, "replica")
    assert where(reading) == "primary", "its connection is good for some minutes"
    monkeypatch.setattr(store, "LIFETIME_S", 0.0)
    assert where(reading) == "replica"


def test_a_replica_that_hangs_leaves_the_reading_to_the_primary(primary: pg.Server, replica: Replica) -> None:
    read_from(replica, "replica")
    assert replica._process is not None
    replica._process.send_signal(signal.SIGSTOP)
    try:
        assert where(Store(replica.config.dsn("reader", replica=True))) == "primary"
    finally:
        replica._process.send_signal(signal.SIGCONT)
