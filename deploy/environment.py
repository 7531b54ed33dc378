"""`<home>/env`: the ports and the generated secrets of one installation, mode 0600, read by every process."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from weir.errors import SetupError
from weir.settings import Settings, settings
from weir.setup import require_secret

#: In the order in which `--port-base N` deals them out: N, N+1, ...
PORTS = (
    "mqtt_port",
    "kafka_port",
    "kafka_controller_port",
    "postgres_port",
    "redis_port",
    "web_port",
    "bridge_port",
    "detector_port",
    "alerts_port",
    "spark_port",
)
SECRETS = (
    "WEIR_MQTT_PASSWORD",
    "WEIR_REDIS_PASSWORD",
    "WEIR_POSTGRES_PASSWORD",
    "WEIR_POSTGRES_READER_PASSWORD",
    "WEIR_POSTGRES_MIGRATOR_PASSWORD",
    "WEIR_POSTGRES_ADMIN_PASSWORD",
    "WEIR_WEB_SECRET",
)


def read(path: Path) -> dict[str, str]:
    """The `NAME=value` lines of an env file; empty when there is none."""
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def prepare(home: Path, port_base: int | None, kafka: str = "") -> Settings:
    """Write `<home>/env` with what is missing in it, and return the settings of this installation.

    What the environment sets (`WEIR_...`) or `port_base` says overrides what was written before.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / "env"
    values = read(path)
    known = {f"WEIR_{name.upper()}" for name in Settings.model_fields} - {"WEIR_HOME", "WEIR_JARS"}
    values |= {name: value for name, value in os.environ.items() if name in known}
    if port_base is not None:
        values |= {f"WEIR_{name.upper()}": str(port_base + i) for i, name in enumerate(PORTS)}
    if kafka:
        values["WEIR_KAFKA_MODE"] = kafka
    values.setdefault("WEIR_MQTT_USER", "weir")
    for name in SECRETS:
        values.setdefault(name, secrets.token_urlsafe(24))
    _write(path, values)
    return current(home)


def current(home: Path) -> Settings:
    """The settings of the installation in `home`, which becomes this process's own."""
    os.environ["WEIR_HOME"] = str(home.resolve())
    settings.cache_clear()
    return settings()


def admin_password(home: Path) -> str:
    """The password of Postgres' superuser, used only to create roles."""
    given = settings().secrets
    if given is not None:
        file = given / "WEIR_POSTGRES_ADMIN_PASSWORD"
        require_secret(given, file.name, file.read_text().strip() if file.exists() else "")
        return file.read_text().strip()
    try:
        return read(home / "env")["WEIR_POSTGRES_ADMIN_PASSWORD"]
    except KeyError:
        raise SetupError(f"{home / 'env'} is missing or incomplete: run `weir up`") from None


def write_secret(path: Path, text: str) -> None:
    """Readable by the owner alone, from its first byte on; never half written."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    beside.replace(path)


def _write(path: Path, values: dict[str, str]) -> None:
    write_secret(path, "".join(f"{name}={value}\n" for name, value in sorted(values.items())))
