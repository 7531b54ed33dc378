"""A real Postgres for tests: the wheel's server on a free port, with roles and every migration applied."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from deploy import migrations, postgres
from weir.settings import Settings


class Server:
    """A Postgres that can be stopped and started again; `config` says how to reach it."""

    def __init__(self, home: Path, port: int) -> None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "env").write_text("WEIR_POSTGRES_ADMIN_PASSWORD=test\n")
        self.config = Settings(
            home=home,
            postgres_port=port,
            postgres_password="writer",
            postgres_reader_password="reader",
            postgres_migrator_password="owner",
        )
        self._place = postgres.initialise(self.config)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        place = self._place
        who = {"user": place.user, "group": place.user, "extra_groups": []} if place.user else {}
        command = [str(place.binaries / "postgres"), "-D", str(place.data)]
        self._process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)  # type: ignore[call-overload]
        admin = f"host=127.0.0.1 port={self.config.postgres_port} user=postgres password=test dbname=postgres"
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg2.connect(admin, connect_timeout=2).close()
                return
            except psycopg2.OperationalError:
                assert time.monotonic() < deadline, "Postgres does not start"
                assert self._process.poll() is None, "Postgres has ended"
                time.sleep(0.05)

    def create(self) -> None:
        """Roles, database and schema."""
        postgres.ensure_database(self.config)
        migrations.migrate(self.config)

    def stop(self) -> None:
        """At once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def connect(self, role: str = "writer"):  # type: ignore[no-untyped-def]
        connection = psycopg2.connect(self.config.dsn(role))
        with connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
        connection.commit()
        return connection


@contextmanager
def server() -> Iterator[Server]:
    """A fresh server with the whole schema; gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = Path(tempfile.mkdtemp(prefix="weir-pg-"))
    one = Server(home, port)
    try:
        one.start()
        one.create()
        yield one
    finally:
        one.stop()
        postgres.remove_data(home)
        shutil.rmtree(home, ignore_errors=True)
