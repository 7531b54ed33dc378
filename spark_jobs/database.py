"""Postgres connections that wait for Postgres, and the line between "not now" and "never"."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg2
from psycopg2.extensions import connection as Connection

log = logging.getLogger("weir.spark")
T = TypeVar("T")

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
# SQLSTATE classes of a row that Postgres will never take: wrong data, constraint, beyond a limit (psycopg2 calls the
# last an OperationalError, as it does a lost connection).
_POISON_CLASSES = ("22", "23", "54")


class Stopping(Exception):
    """The process is stopping: the write was given up and is repeated after the next start."""


def is_poison(error: Exception) -> bool:
    """Whether the same rows would be refused again, however often they are sent."""
    if isinstance(error, psycopg2.Error):
        return (error.pgcode or "")[:2] in _POISON_CLASSES
    return isinstance(error, (ValueError, OverflowError))  # psycopg2 itself refuses NUL and lone surrogates


def is_passing(error: psycopg2.Error) -> bool:
    """Whether waiting helps: the server is away, starting, stopping, full, or broke a deadlock."""
    return isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)) and not is_poison(error)


class Database:
    """One connection, opened when first needed and again after it was lost. Not for use by several threads."""

    def __init__(self, dsn: str, name: str, stopping: Callable[[], bool] = lambda: False) -> None:
        self._dsn = dsn
        self._name = name
        self._stopping = stopping
        self._connection: Connection | None = None

    def run(self, work: Callable[[Connection], T]) -> T:
        """Call `work` in a transaction and commit. While Postgres is away, wait and call it again.

        Raises `Stopping`, and what `work` raises that no waiting mends (after a rollback).
        """
        wait = _FIRST_WAIT_S
        while True:
            try:
                done = self._once(work)
            except psycopg2.Error as error:
                if not is_passing(error):
                    raise
                log.warning("Postgres is away, trying again in %.1f s: %s", wait, str(error).strip().split("\n")[0])
            else:
                return done
            deadline = time.monotonic() + wait
            while time.monotonic() < deadline:
                if self._stopping():
                    raise Stopping
                time.sleep(0.1)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def _once(self, work: Callable[[Connection], T]) -> T:
        connection = self._open()
        try:
            done = work(connection)
            connection.commit()
        except psycopg2.Error as error:
            if is_passing(error):
                self.close()  # whatever state it is in, a new one is clean
            else:
                connection.rollback()
            raise
        except BaseException:
            connection.rollback()
            raise
        return done

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self._dsn, application_name=self._name, connect_timeout=5)
            with self._connection.cursor() as cursor:
                cursor.execute("SET timezone = 'UTC'")
            self._connection.commit()
        return self._connection

    def close(self) -> None:
        """Close the connection if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
