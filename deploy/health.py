"""Is a component well? One probe each; a probe says what is wrong, or None."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psycopg2
import redis
from redis.exceptions import RedisError

from weir import connections
from weir.settings import Settings

Probe = Callable[[], str | None]
SPARK_HEARTBEAT_S = 30
#: Compacting a large partition is one round of its work.
KEEPER_HEARTBEAT_S = 3600


def listening(host: str, port: int) -> str | None:
    try:
        with socket.create_connection((host, port), timeout=1):
            return None
    except OSError as error:
        return f"port {port} does not answer ({error})"


def tls_trouble(config: Settings) -> str | None:
    """Why the first broker and we do not get to an encrypted connection, if we should."""
    context = connections.kafka_tls(config)
    if context is None:
        return None
    host, port = config.kafka_first
    try:
        with (
            socket.create_connection((host, port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return None
    except OSError as error:
        return connections.reason(error)


def postgres(dsn: str) -> str | None:
    try:
        psycopg2.connect(dsn, connect_timeout=2).close()
    except psycopg2.OperationalError as error:
        return str(error).strip().splitlines()[-1] if str(error).strip() else "does not answer"
    return None


def valkey(config: Settings) -> str | None:
    try:
        with redis.Redis.from_url(config.redis_url, socket_timeout=2) as client:
            client.ping()
    except RedisError as error:
        return str(error)
    return None


def healthz(host: str, port: int) -> str | None:
    """Asks `/healthz`; a 503 says in JSON which checks fail."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/healthz", timeout=3):
            return None
    except urllib.error.HTTPError as error:
        try:
            problems = json.loads(error.read()).get("problems", {})
        except ValueError:
            problems = {}
        return "; ".join(f"{name}: {text}" for name, text in problems.items()) or f"HTTP {error.code}"
    except OSError:
        return "not up yet"


def heartbeat(path: Path, most_s: float) -> str | None:
    """A process without a port touches a file while it is well."""
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return "starting"
    return None if age < most_s else f"no sign of life for {age:.0f} s"


def probes(config: Settings, dsn: str) -> dict[str, Probe]:
    """The probe of each component that has one, by its name."""
    return {
        "mosquitto": lambda: listening(*config.mqtt),
        "kafka": lambda: listening(*config.kafka_first),
        "zookeeper": lambda: listening(config.host, config.kafka_controller_port),
        "postgres": lambda: postgres(dsn),
        "valkey": lambda: valkey(config),
        "bridge": lambda: healthz(config.host, config.bridge_port),
        "detector": lambda: healthz(config.host, config.detector_port),
        "alerts": lambda: healthz(config.host, config.alerts_port),
        "web": lambda: healthz(config.host, config.web_port),
        "spark": lambda: heartbeat(config.home / "spark" / "heartbeat", SPARK_HEARTBEAT_S),
        "keeper": lambda: heartbeat(config.home / "keeper-heartbeat", KEEPER_HEARTBEAT_S),
    }
