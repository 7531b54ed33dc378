"""`python -m spark_jobs.keeper`: keeps house in Postgres. Partitions ahead, sealing, compaction, retention.

Once a minute, and nothing else does any of it: an advisory lock sees to that. Whatever it does may be interrupted at
any moment and is gone on with at the next start.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection

from spark_jobs import compaction, retention
from spark_jobs.database import Database, Stopping, is_passing
from spark_jobs.partitions import ensure_partition
from weir.retention import parse
from weir.settings import Settings, settings

log = logging.getLogger("weir.keeper")

EVERY_S = 60.0
AHEAD_DAYS = 3
#: Rows of the DEFAULT partition moved at once: while they are, the archive waits.
MOVE_ROWS = 50_000
_LOCK = 0x77656972  # "weir"

_SEAL_BEFORE = """
SELECT least(date_trunc('day', now() - %s, 'UTC'), date_trunc('day', (SELECT swept FROM rollup_reach), 'UTC'))"""


class Keeper:
    """One round is `once`. `heartbeat` is touched after each."""

    def __init__(self, config: Settings, stop: threading.Event) -> None:
        self._config = config
        self._stop = stop
        self._database = Database(config.dsn("writer"), "weir-keeper", stop.is_set)
        self._reading: Connection | None = None
        self.heartbeat: Path = config.home / "keeper-heartbeat"

    def run(self) -> None:
        """Until stopped. Postgres being away, or a lock not being had, costs a round."""
        while not self._stop.is_set():
            try:
                self.once(datetime.now(UTC))
            except psycopg2.Error as error:
                if not (is_passing(error) or isinstance(error, psycopg2.errors.LockNotAvailable)):
                    raise
                log.warning("this round is given up: %s", str(error).strip().split("\n")[0])
                self._close()
            except Stopping:
                return
            self.heartbeat.touch()
            self._stop.wait(EVERY_S)

    def once(self, now: datetime) -> None:
        """One round. Raises `psycopg2.Error`, `Stopping`."""
        if not self._alone():
            return
        for day in range(AHEAD_DAYS + 1):
            moment = now + timedelta(days=day)
            self._database.run(lambda connection, moment=moment: ensure_partition(connection, moment))  # type: ignore[misc]
        self.seal()
        self.compact()
        for name in self._database.run(lambda connection: retention.drop(connection, self._config, now)):
            log.warning("dropped %s: older than is to be kept", name)

    def seal(self) -> int:
        """Close the raw partitions whose time has passed. Returns how many."""
        wait = parse(self._config.compact_after)
        if wait is None:
            return 0

        def work(connection: Connection) -> int:
            with connection.cursor() as cursor:
                cursor.execute(_SEAL_BEFORE, (wait,))
                (before,) = cursor.fetchone() or (None,)
                cursor.execute("SELECT seal_readings(%s, %s)", (before, MOVE_ROWS))
                (sealed,) = cursor.fetchone() or (0,)
            return sealed

        return self._database.run(work)

    def compact(self) -> int:
        """Rewrite what is sealed. Returns how many partitions."""
        done = 0
        for unit in self._database.run(compaction.units):
            if compaction.compact(self._connection(), self._database, unit, self._stop.is_set) < 0:
                break
            done += 1
        return done

    def _alone(self) -> bool:
        """Whether this process holds the keeper's lock; it goes with the connection."""
        with self._connection().cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
            (held,) = cursor.fetchone() or (0,)
            if not held:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
                (held,) = cursor.fetchone() or (False,)
        if not held:
            log.warning("another keeper is at work: this one waits")
        return bool(held)

    def _connection(self) -> Connection:
        if self._reading is None or self._reading.closed:
            self._reading = psycopg2.connect(
                self._config.dsn("writer"), application_name="weir-keeper-reader", connect_timeout=5,
                options="-c timezone=UTC -c work_mem=64MB",
            )  # fmt: skip
            self._reading.autocommit = True
        return self._reading

    def _close(self) -> None:
        if self._reading is not None:
            self._reading.close()
        self._reading = None


def main() -> None:
    """Entry point: runs until SIGTERM; ends with a traceback for what no waiting mends, and is started again."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    Keeper(settings(), stop).run()
    sys.exit(0)


if __name__ == "__main__":
    main()
