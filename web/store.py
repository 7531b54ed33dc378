"""Postgres for reading: a small pool, bound parameters, short time-outs. Which queries there are: `queries`."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection

from weir.errors import WeirError
from weir.settings import settings

Row = tuple[Any, ...]
POOL = 8
WAIT_S = 5.0
STATEMENT_MS = 8_000
#: No connection is used for longer, so that reading goes back to a replica that was away.
LIFETIME_S = 300.0


class StoreDown(WeirError):
    """Postgres cannot answer now; the text says why, in words a person may see."""


class Store:
    """At most `POOL` connections, made when wanted. Safe to share among threads."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._free: list[tuple[Connection, float]] = []
        self._slots = threading.BoundedSemaphore(POOL)
        self._lock = threading.Lock()

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """Run one query. Raises `StoreDown`. A connection that went stale in the pool is replaced once."""
        if not self._slots.acquire(timeout=WAIT_S):
            raise StoreDown("the database is busy")
        try:
            pooled = self._take()
            if pooled is not None:
                try:
                    return self._run(*pooled, sql, parameters)
                except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                    if isinstance(error, psycopg2.errors.QueryCanceled):
                        raise StoreDown("the database took too long") from error
            return self._run(self._connect(), time.monotonic(), sql, parameters)
        except psycopg2.errors.QueryCanceled as error:
            raise StoreDown("the database took too long") from error
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise StoreDown("the database does not answer") from error
        finally:
            self._slots.release()

    def _take(self) -> tuple[Connection, float] | None:
        """A connection and when it was made; those that are too old are closed."""
        with self._lock:
            while self._free:
                held, made = self._free.pop()
                if time.monotonic() - made < LIFETIME_S:
                    return held, made
                held.close()
            return None

    def _connect(self) -> Connection:
        made = psycopg2.connect(
            self._dsn,
            connect_timeout=2,
            application_name="weir-web",
            options=f"-c statement_timeout={STATEMENT_MS} -c timezone=UTC",
        )
        made.set_session(readonly=True, autocommit=True)
        return made

    def _run(self, held: Connection, made: float, sql: str, parameters: Sequence[Any] | Mapping[str, Any]) -> list[Row]:
        try:
            with held.cursor() as cursor:
                cursor.execute(sql, parameters)
                found: list[Row] = cursor.fetchall()
        except psycopg2.Error:
            held.close()
            raise
        with self._lock:
            self._free.append((held, made))
        return found


_store: Store | None = None
_making = threading.Lock()


def store() -> Store:
    """The store of this process, made at first use: after gunicorn has forked."""
    global _store
    with _making:
        if _store is None:
            _store = Store(settings().dsn("reader", replica=True))
        return _store


def now_ms() -> int:
    return time.time_ns() // 1_000_000
