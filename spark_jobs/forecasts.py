"""Forecasts of every series for the next hour and day, made each hour by Spark, and scored when the truth has come.

Series are dealt out in small groups (`applyInArrow`), so that the streaming queries, which share the cores, never wait
longer than one group takes. Each group reads its history from the aggregates and writes its forecasts in one
transaction; all of it may be repeated.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

import msgspec
import numpy as np
import pyarrow as pa
from psycopg2.extensions import connection as Connection
from pyspark.sql import SparkSession

from spark_jobs import forecast_tables as tables
from spark_jobs.database import Database, Stopping
from spark_jobs.forecast_tables import CrossingRow, ForecastRow, History
from weir.errors import SetupError
from weir.forecasting import DAY_MS, HOUR_MS, Forecast, ForecastError, crossing, forecast
from weir.settings import Settings, settings

log = logging.getLogger("weir.spark")

STEP_MS = 300_000
GROUP = 8
#: Less probable crossings are not worth a warning.
LEAST_PROBABLE = 0.5
#: After a start the first forecasts wait until back-filled history has been rolled up.
FIRST_S = 60.0
LOOK_S = 5.0
_GROUPS = "part int, series_id int, low double, high double"
_RESULT = "series_id int, forecasts int, seconds double"


@dataclass(frozen=True)
class Horizon:
    """How far ahead, in which steps, from how much history (all ms)."""

    name: str
    ahead_ms: int
    step_ms: int
    history_ms: int


HORIZONS = (Horizon("1h", HOUR_MS, STEP_MS, 7 * DAY_MS), Horizon("24h", DAY_MS, HOUR_MS, 42 * DAY_MS))


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule of the settings file: a warning when a forecast leaves [low, high]. The first rule that matches holds."""

    site: str = "*"
    sensor: str = "*"
    metric: str = "*"
    low: float | None = None
    high: float | None = None

    def matches(self, site: str, sensor: str, metric: str) -> bool:
        pairs = ((site, self.site), (sensor, self.sensor), (metric, self.metric))
        return all(fnmatchcase(name, pattern) for name, pattern in pairs)


def read_limits(config: Settings) -> list[Limit]:
    """The rules of `config.limits_file`; none if there is no such file. Raises `SetupError`."""
    path = config.limits_file
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Limit]) if path.exists() else []
    except (OSError, msgspec.DecodeError) as error:
        raise SetupError(f"{path} is no list of rules with site, sensor, metric, low and high: {error}") from error


def limits_of(rules: list[Limit], one: tables.SeriesRow) -> tuple[float | None, float | None]:
    """Low and high of a series: by the first rule that matches, else what its birth says (pure)."""
    for rule in rules:
        if rule.matches(one.site, one.sensor, one.metric):
            return rule.low, rule.high
    return one.low, one.high


def run_once(spark: SparkSession, database: Database, rules: list[Limit], made: int) -> tuple[int, float]:
    """Forecast every series that was heard within a day before `made` (ms): how many could be, and seconds of work."""
    found = database.run(partial(tables.series, made=made))
    rows = [(k // GROUP, one.id, *limits_of(rules, one)) for k, one in enumerate(found)]
    if not rows:
        return 0, 0.0
    frame = spark.createDataFrame(rows, _GROUPS).repartition(rows[-1][0] + 1, "part")
    # A lambda, because Spark 4.2 fails at the type hints of a partial.
    done = frame.groupBy("part").applyInArrow(lambda table: forecast_group(table, made), _RESULT).collect()
    database.run(tables.score)
    return sum(row.forecasts > 0 for row in done), sum(row.seconds for row in done)


def forecast_group(table: pa.Table, made: int) -> pa.Table:
    """Forecast and store one group of series (`_GROUPS` in, `_RESULT` out). Runs in a Spark worker."""
    rows = table.to_pylist()
    ids = [row["series_id"] for row in rows]
    database = Database(settings().dsn("writer"), "weir-forecasts")
    histories = database.run(partial(_histories, ids=ids, made=made))
    forecasts: list[ForecastRow] = []
    crossings: list[CrossingRow] = []
    result: dict[str, list[float]] = {"series_id": ids, "forecasts": [], "seconds": []}
    for row in rows:
        begun = time.monotonic()
        found = ahead(row["series_id"], histories, made)
        for horizon, one, last in found:
            forecasts += _rows(row["series_id"], horizon, made, one, last)
        crossings += _crossings(row["series_id"], [one for _, one, _ in found], row["low"], row["high"], made)
        result["forecasts"].append(len(found))
        result["seconds"].append(time.monotonic() - begun)
    database.run(partial(tables.store, ids=ids, rows=forecasts, crossings=crossings))
    database.close()
    schema = pa.schema([("series_id", pa.int32()), ("forecasts", pa.int32()), ("seconds", pa.float64())])
    return pa.table(result, schema=schema)


def ahead(series_id: int, histories: list[History], made: int) -> list[tuple[Horizon, Forecast, float]]:
    """The forecasts of one series that its history allows, each with the last value known (pure)."""
    found = []
    for horizon, known in zip(HORIZONS, histories, strict=True):
        ts, values = known.get(series_id, (np.empty(0, np.int64), np.empty(0)))
        # The step that is still filling would pull the last mean towards its first readings.
        whole = ts + horizon.step_ms <= made
        try:
            one = forecast(ts[whole], values[whole], horizon_ms=horizon.ahead_ms, step_ms=horizon.step_ms)
        except ForecastError:
            continue
        found.append((horizon, one, float(values[whole][-1])))
    return found


def _histories(connection: Connection, ids: list[int], made: int) -> list[History]:
    return [tables.history(connection, ids, made - one.history_ms, made, one.step_ms) for one in HORIZONS]


def _rows(series_id: int, horizon: Horizon, made: int, one: Forecast, last: float) -> list[ForecastRow]:
    return [
        (series_id, horizon.name, made, int(ts), float(mean), float(low), float(high), one.model, last)
        for ts, mean, low, high in zip(one.ts, one.mean, one.low80, one.high80, strict=True)
    ]


def _crossings(
    series_id: int, found: list[Forecast], low: float | None, high: float | None, made: int
) -> list[CrossingRow]:
    """For each limit the first forecast, the nearer horizon first, that is likely to cross it."""
    rows: list[CrossingRow] = []
    for above, limit in ((True, high), (False, low)):
        if limit is None:
            continue
        likely = (crossing(one, limit, above) for one in found)
        first = next((one for one in likely if one is not None and one.probability >= LEAST_PROBABLE), None)
        if first is not None:
            rows.append((series_id, above, limit, first.ts, first.probability, made))
    return rows


class Forecaster(threading.Thread):
    """Makes forecasts every `config.forecast_every_s`, in a scheduler pool of its own beside the streaming queries."""

    def __init__(self, spark: SparkSession, config: Settings, stop: threading.Event) -> None:
        super().__init__(name="forecaster", daemon=True)
        self._spark = spark
        self._every_ms = config.forecast_every_s * 1000
        self._rules = read_limits(config)
        self._database = Database(config.dsn("writer"), "weir-forecaster", stop.is_set)
        self._halt = stop

    def run(self) -> None:
        """Until stopped. Whatever goes wrong is logged, and the next hour is another chance."""
        self._spark.sparkContext.setLocalProperty("spark.scheduler.pool", "forecasts")
        self._halt.wait(FIRST_S)
        made = 0
        while not self._halt.is_set():
            now = int(time.time() * 1000) // STEP_MS * STEP_MS
            try:
                made = max(made, self._database.run(tables.newest))
                if now - made >= self._every_ms:
                    self._make(now)
                    made = now
            except Stopping:
                return
            except Exception as error:
                if self._halt.is_set():
                    return
                log.exception("the forecasts of this hour could not be made: %s", error)
                self._halt.wait(300)
            self._halt.wait(LOOK_S)

    def _make(self, made: int) -> None:
        begun = time.monotonic()
        count, work = run_once(self._spark, self._database, self._rules, made)
        log.warning("%d series forecast in %.1f s (%.1f s of work)", count, time.monotonic() - begun, work)
