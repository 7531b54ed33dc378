"""What the Spark application tells Prometheus: how late readings are stored, and when it last gave a sign of life.

Readings are stored by Spark's worker processes, which nobody can scrape: prometheus-client's files of several
processes, one per worker in a folder that is emptied at the start, are added up by the driver.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, Histogram, start_http_server, values
from prometheus_client.multiprocess import MultiProcessCollector

from weir.errors import SetupError
from weir.readings import Reading
from weir.settings import Settings, settings

#: Of a chunk of up to 40,000 readings so many are measured.
SAMPLE = 50
_BUCKETS = (0.1, 0.25, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 30, 60, 120, 600, 3600)


def stored(readings: Sequence[Reading]) -> None:
    """In a worker: these readings have just been committed. What was back-filled is not late."""
    live = [reading for reading in readings[:: max(1, len(readings) // SAMPLE)] if not reading.hist]
    now = time.time()
    for reading in live:
        _histogram().observe(max(0.0, now - reading.ts / 1000))


@lru_cache(maxsize=1)
def _histogram() -> Histogram:
    """Made on first use, because only then is it known whether this process is a worker."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_folder(settings()))
    _folder(settings()).mkdir(parents=True, exist_ok=True)
    several: Any = values.MultiProcessValue()
    values.ValueClass = several
    name = "weir_published_to_stored_seconds"
    return Histogram(name, "From the time a live reading claims to its commit in Postgres, sampled", buckets=_BUCKETS)


def serve(config: Settings) -> None:
    """In the driver, before any query starts: /metrics on loopback, in a thread. Raises `SetupError`: no port."""
    shutil.rmtree(_folder(config), ignore_errors=True)
    _folder(config).mkdir(parents=True)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(_folder(config)))
    age = Gauge("weir_spark_heartbeat_age_seconds", "Since all queries last ran or were idle", registry=registry)
    age.set_function(lambda: _age(config.home / "spark" / "heartbeat"))
    try:
        start_http_server(config.spark_port, config.host, registry)
    except OSError as error:
        where = f"{config.host}:{config.spark_port}"
        raise SetupError(
            f"/metrics of Spark cannot be served at {where} ({error.strerror}): set WEIR_SPARK_PORT"
        ) from error


def _folder(config: Settings) -> Path:
    return (config.home / "spark" / "metrics").resolve()


def _age(heartbeat: Path) -> float:
    """Seconds; infinite before the first sign of life."""
    try:
        return max(0.0, time.time() - heartbeat.stat().st_mtime)
    except FileNotFoundError:
        return float("inf")
