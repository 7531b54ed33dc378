"""`weir backup` and `weir restore`: all of Postgres in one file, and back, so that the ledger balances again.

The dump holds, with the readings, how far each Kafka partition was stored. A restore therefore makes Spark begin at
the oldest record Kafka has: what the dump holds is passed over, what came after it is stored again from Kafka.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import psycopg2
import typer
from psycopg2 import sql
from rich.console import Console

from deploy import postgres
from deploy.environment import admin_password
from deploy.stack import WORKERS, Stack
from weir.errors import SetupError
from weir.settings import Settings, settings

console = Console(highlight=False)
_SUPERUSER = "postgres"


def backup_command(
    file: Annotated[Path, typer.Argument(help="Where to; it must not exist yet.")],
    level: Annotated[int, typer.Option(help="Compression, 0 to 9.")] = 6,
) -> None:
    """Write all of Postgres into one file, while everything runs."""
    console.print(f"{file}: {backup(settings(), file, level) / 1e6:.1f} MB")


def restore_command(file: Path) -> None:
    """Put a backup in the place of the database; the one that was there stays beside it under another name."""
    config = settings()
    stack = Stack(config.home)
    if stack.running():
        running = {one.name for one in stack.supervisor.processes() if one.state == "running"} & set(WORKERS)
        if running:
            raise SetupError(f"{', '.join(sorted(running))} would write: `weir down`, then `weir up --only servers`")
    before = restore(config, file)
    console.print(f"{file} is restored; what was there is now the database {before}.")
    console.print("`weir up` stores what came after the backup from Kafka, as far back as Kafka keeps it (3 days).")


def backup(config: Settings, file: Path, level: int = 6) -> int:
    """Write the dump (of one moment) to `file`, mode 0600, and return its size in bytes. Raises `SetupError`."""
    if file.exists():
        raise SetupError(f"{file} is there already: choose another name")
    beside = file.with_name(file.name + ".part")
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        _run(config, "pg_dump", "-Fc", "-Z", str(level), "-f", str(beside), "-d", config.postgres_db)
        _run(config, "pg_restore", "--list", str(beside))
        beside.rename(file)
    finally:
        beside.unlink(missing_ok=True)
    return file.stat().st_size


def restore(config: Settings, file: Path) -> str:
    """Restore `file` into a new database and, when all of it is there, put that in the place of the old one.

    Returns the old one's new name. Raises `SetupError`, and then the old database is as it was.
    """
    if not file.exists():
        raise SetupError(f"{file} does not exist")
    stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
    new, old = f"{config.postgres_db}_new_{stamp}", f"{config.postgres_db}_before_{stamp}"
    with _admin(config) as cursor:
        owner = sql.Identifier(config.postgres_migrator)
        cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(new), owner))
        try:
            _run(config, "pg_restore", "--exit-on-error", "-d", new, str(file))
        except SetupError:
            cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(new)))
            raise
        _swap(cursor, config.postgres_db, old, new)
    for name in ("archive", "rollups"):
        shutil.rmtree(config.home / "spark" / name, ignore_errors=True)
    return old


def _swap(cursor: Any, current: str, old: str, new: str) -> None:
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (current,))
    if cursor.fetchone():
        # Nobody may come in between being put out and the renaming.
        cursor.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(current)))
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (current,))
        _rename(cursor, current, old)
        cursor.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(old)))
    _rename(cursor, new, current)


def _rename(cursor: Any, name: str, other: str) -> None:
    """A backend that was told to end may take a moment."""
    deadline = time.monotonic() + 10
    while True:
        try:
            cursor.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(other))
            )
            return
        except psycopg2.errors.ObjectInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def _admin(config: Settings) -> Iterator[Any]:
    host, port = config.postgres
    try:
        connection = psycopg2.connect(
            host=host, port=port, user=_SUPERUSER, password=admin_password(config.home), dbname="postgres"
        )
    except psycopg2.OperationalError as error:
        raise SetupError(f"Postgres does not answer ({str(error).strip()}): `weir up --only servers`") from error
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _run(config: Settings, program: str, *arguments: str) -> None:
    """Run one of Postgres' own programs; the password goes through a file only we may read."""
    host, port = config.postgres
    with tempfile.NamedTemporaryFile("w", prefix="weir-") as file:
        escaped = admin_password(config.home).replace("\\", "\\\\").replace(":", "\\:")
        file.write(f"*:*:*:{_SUPERUSER}:{escaped}\n")
        file.flush()
        environment = {**os.environ, "PGPASSFILE": file.name, "PGHOST": host, "PGPORT": str(port)}
        environment |= {"PGUSER": _SUPERUSER, "PGSSLMODE": config.postgres_sslmode or "prefer"}
        command = [str(_program(program)), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        raise SetupError(f"{program} failed: {lines[0]}")


def _program(name: str) -> Path:
    """The one of the local stack's Postgres, else the system's."""
    try:
        own = postgres.wheel() / "pginstall" / "bin" / name
    except SetupError:
        own = None
    found = shutil.which(name)
    if own is not None and own.exists():
        return own
    if found is None:
        raise SetupError(f"{name} is missing: install Postgres' client programs, of the server's version or newer")
    return Path(found)
