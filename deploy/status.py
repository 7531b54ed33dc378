"""What `weir status` tells: every component, and the ledger's totals."""

from __future__ import annotations

import time
from typing import Any

import psycopg2
import redis
from redis.exceptions import RedisError

from deploy import health
from deploy.stack import Stack
from weir import keys
from weir.ledger import QUERY, Minute, Totals, merge, totals
from weir.settings import Settings


def components(stack: Stack, config: Settings) -> list[dict[str, Any]]:
    """Each supervised process; `state` is `healthy` only when its probe says so."""
    probes = health.probes(config, config.dsn("reader"))
    found = []
    for process in stack.supervisor.processes() if stack.running() else []:
        state = process.state
        if state == "running":
            state = "unhealthy" if process.name in probes and probes[process.name]() else "healthy"
        found.append(
            {
                "name": process.name,
                "state": state,
                "pid": process.pid or None,
                "uptime_s": process.uptime_s,
                "restarts": max(0, process.restarts),
            }
        )
    return found


def ledger(config: Settings, since: int = 0) -> list[Minute]:
    """The ledger per minute of arrival from `since` (ms). Raises `OSError` when Redis or Postgres is away."""
    try:
        with redis.Redis.from_url(config.redis_url, socket_timeout=3) as client:
            counts: Any = client.hgetall(keys.RECEIVED)
        received = {int(minute): int(count) for minute, count in counts.items() if int(minute) >= since}
    except RedisError as error:
        raise OSError(f"the ledger cannot be read: {error}") from error
    return merge(received, postgres_rows(config, QUERY, (since / 1000,)))


def postgres_rows(config: Settings, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The rows of one query, as the reader. Raises `OSError` when Postgres is away."""
    try:
        connection = psycopg2.connect(config.dsn("reader"), connect_timeout=3)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, parameters)
                return cursor.fetchall()
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise OSError(f"Postgres does not answer: {str(error).strip()}") from error


def ledger_totals(config: Settings) -> Totals | None:
    """None when Redis or Postgres is away."""
    try:
        return totals(ledger(config), int(time.time() * 1000))
    except OSError:
        return None


def report(stack: Stack, config: Settings) -> dict[str, Any]:
    """The object of `weir status --json`."""
    found = ledger_totals(config)
    names = ("received", "stored", "dead_lettered", "duplicate", "missing")
    return {
        "url": url(config),
        "components": components(stack, config),
        "ledger": {name: getattr(found, name) for name in names} if found else None,
    }


def url(config: Settings) -> str:
    return f"http://{config.host}:{config.web_port}/"
