"""`python -m spark_jobs.app`: archive, rollups and the repair of aggregates in one Spark application."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from pyspark.sql.streaming import StreamingQuery

from spark_jobs import archive, rollups, session, stage_metrics
from spark_jobs.database import Database
from spark_jobs.forecasts import Forecaster
from spark_jobs.lateness import horizon_ms
from spark_jobs.reach import Reach
from spark_jobs.repair import Reaches, Repairer
from weir.errors import SetupError
from weir.settings import Settings, settings

log = logging.getLogger("weir.spark")

POLL_S = 2.0
#: A query that has work and finishes no batch for so long is no sign of life.
STALL_S = 60.0
#: After this many seconds of an orderly stop the process goes, whatever still hangs: any batch may be replayed.
STOP_S = 8.0


class Watch:
    """Follows one query: how far it has come, and since when it has come no further."""

    def __init__(self, query: StreamingQuery, trigger_s: int) -> None:
        self.query = query
        self.reach = Reach()
        self._idle_ms = int((2 * trigger_s + 1) * 1000)
        self._batch = -1
        self._moved = time.monotonic()

    def look(self, now: int) -> None:
        """Take the query's progress and status at `now` (ms since the epoch)."""
        progress = self.query.lastProgress
        if progress is not None:
            known = json.loads(progress.json)
            self.reach = self.reach.after(known)
            if known["batchId"] != self._batch:
                self._batch, self._moved = known["batchId"], time.monotonic()
        status = self.query.status
        if not status["isDataAvailable"] and not status["isTriggerActive"]:
            self._moved = time.monotonic()
            if progress is not None:
                self.reach = self.reach.idle(now - self._idle_ms)

    def alive(self) -> bool:
        return time.monotonic() - self._moved < STALL_S


def run(config: Settings) -> int:
    """Run until SIGTERM (returns 0) or until a query or the repair dies (returns 1)."""
    folder = (config.home / "spark").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    spark = session.start(config, folder)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    stage_metrics.serve(config)
    watches = [
        Watch(archive.start(spark, config, folder), config.archive_trigger_s + config.archive_wait_s),
        Watch(rollups.start(spark, config, folder, stop.is_set), config.rollup_trigger_s),
    ]
    database = Database(config.dsn("writer"), "weir-repair", stop.is_set)
    repairer = Repairer(database, horizon_ms(config.watermark), stop)
    repairer.start()
    if config.forecast_every_s:
        Forecaster(spark, config, stop).start()
    code = _watch(watches, repairer, folder / "heartbeat", stop)
    stop.set()
    threading.Timer(STOP_S, lambda: os._exit(code)).start()
    for watch in watches:
        _stop(watch.query)
    spark.stop()
    repairer.join(STOP_S)
    logging.shutdown()
    os._exit(code)  # the timer above, and Spark's callback threads, would hold the process


def _watch(watches: list[Watch], repairer: Repairer, heartbeat: Path, stop: threading.Event) -> int:
    log.warning("archive and rollups run")
    while not stop.is_set():
        for watch in watches:
            if not watch.query.isActive:
                log.error("query %s has died: %s", watch.query.name, _reason(watch.query))
                return 1
        if not repairer.is_alive():
            log.error("the repair has died: see above")
            return 1
        for watch in watches:
            watch.look(int(time.time() * 1000))
        repairer.reaches = Reaches(watches[0].reach, watches[1].reach)
        if all(watch.alive() for watch in watches):
            heartbeat.touch()
        stop.wait(POLL_S)
    return 0


def _reason(query: StreamingQuery) -> str:
    error = query.exception()
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] if error else ["stopped"]
    causes = [
        line for line in lines if line.startswith(("Caused by", "psycopg2.", "py4j.", "weir.")) or "Error:" in line
    ]
    return " | ".join([lines[0], *causes[-3:]])[:1000]


def _stop(query: StreamingQuery) -> None:
    try:
        query.stop()
    except Exception as error:
        log.warning("%s did not stop in time (%s): its batch is replayed after the next start", query.name, error)


def main() -> None:
    """Entry point: exit code 1 with one clear line when something is missing."""
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # repeats what the query's own exception says
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        sys.exit(run(settings()))
    except SetupError as error:
        sys.exit(f"spark: {error}")


if __name__ == "__main__":
    main()
