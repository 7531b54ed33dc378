"""The hourly forecasts of the whole fleet: made by Spark, scored when the truth has come, and a limit warned of."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from psycopg2.extras import execute_values
from pyspark.sql import SparkSession

from deploy import status
from deploy.stack import Stack
from spark_jobs import session
from spark_jobs.database import Database
from spark_jobs.forecasts import STEP_MS, Limit, run_once
from stream_apps.ledger_watch import LedgerWatch
from tests.conftest import eventually
from weir import keys
from weir.live import Latest
from weir.readings import encode
from weir.settings import Settings, settings

DAYS = 4
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def spark(stack: Stack, config: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("WEIR_HOME", str(stack.home))  # the workers read their settings there
    settings.cache_clear()
    one = session.start(config, tmp_path_factory.mktemp("spark"))
    yield one
    one.stop()
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="module")
def series(stack: Stack, config: Settings) -> int:
    """Four days of a daily cycle between 10 and 30 that end now: a reading in the middle of each five minutes, and its
    aggregate, which is equal to it, so that the repair has nothing to mend. Gives the series' id."""
    now = int(time.time() * 1000) // STEP_MS * STEP_MS
    connection = psycopg2.connect(config.dsn("writer"))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sensors (site, sensor, metrics) VALUES ('fc', 's1', %s) RETURNING sensor_id",
            (json.dumps({"t": {"unit": "Cel"}}),),
        )
        cursor.execute("INSERT INTO series (sensor_id, metric) VALUES (%s, 't') RETURNING series_id", cursor.fetchone())
        ((number,),) = cursor.fetchall()
        rows = [
            (number, at / 1000, 20 - 10 * math.cos(2 * math.pi * (at - now) / 86_400_000) + 0.1 * math.sin(at / 7e5))
            for at in range(now - DAYS * 86_400_000, now, STEP_MS)
        ]
        for day in range(DAYS + 1):
            cursor.execute("SELECT ensure_partition(to_timestamp(%s))", ((now - day * 86_400_000) / 1000,))
        execute_values(
            cursor,
            "INSERT INTO readings (series_id, ts, value) VALUES %s",
            [(one, at + STEP_MS / 2000, value) for one, at, value in rows],
            template="(%s, to_timestamp(%s), %s)",
        )
        execute_values(
            cursor,
            "INSERT INTO readings_5m (series_id, bucket, n, mean, min, max) VALUES %s",
            [(one, at, 1, value, value, value) for one, at, value in rows],
            template="(%s, to_timestamp(%s), %s, %s, %s, %s)",
        )
    connection.close()
    return int(number)


def query(config: Settings, text: str, series: int) -> list[tuple[Any, ...]]:
    return status.postgres_rows(config, text, (series,))


def test_every_series_is_forecast_for_an_hour_and_a_day(spark: SparkSession, series: int, config: Settings) -> None:
    database = Database(config.dsn("writer"), "weir-test")
    made = int(time.time() * 1000) // STEP_MS * STEP_MS
    count, _ = run_once(spark, database, [], made)
    again, _ = run_once(spark, database, [], made)
    database.close()
    assert count == again >= 1
    counts = "SELECT horizon, count(*)::int, bool_and(low80 <= mean AND mean <= high80) FROM forecasts "
    found = query(config, counts + "WHERE series_id = %s GROUP BY 1 ORDER BY 1", series)
    assert found == [("1h", 12, True), ("24h", 24, True)]
    mean = "SELECT mean FROM forecasts WHERE series_id = %s AND horizon = '24h' ORDER BY ts"
    values = [value for (value,) in query(config, mean, series)]
    assert 27 < max(values) < 33  # the top of the cycle lies ahead


def test_forecasts_are_scored_when_the_truth_has_come(spark: SparkSession, series: int, config: Settings) -> None:
    database = Database(config.dsn("writer"), "weir-test")
    made = int(time.time() * 1000) // STEP_MS * STEP_MS - 3 * HOUR_MS
    run_once(spark, database, [], made)
    database.close()
    skill = "SELECT n, mae, mae_last, coverage80 FROM forecast_skill WHERE series_id = %s AND horizon = '1h'"
    ((n, error, of_last, coverage),) = query(config, skill, series)
    assert n >= 12
    assert error < of_last
    assert 0 <= coverage <= 1


def test_a_limit_that_will_be_crossed_is_warned_of_and_the_warning_ends(
    spark: SparkSession, series: int, config: Settings
) -> None:
    database = Database(config.dsn("writer"), "weir-test")
    made = int(time.time() * 1000) // STEP_MS * STEP_MS
    run_once(spark, database, [Limit(site="fc", high=25.0)], made)
    with redis.Redis.from_url(config.redis_url) as cache:

        def warning() -> dict[str, Any] | None:
            live: Any = cache.hvals(keys.LIVE_ALERTS)
            found = [one for one in map(json.loads, live) if one["site"] == "fc" and one["state"] == "active"]
            return found[0] if found else None

        alert = eventually(warning)
        assert alert["rule"] == "forecast"
        assert alert["text"].startswith("t is forecast to rise above 25 Cel at about")
        run_once(spark, database, [], made)
        eventually(lambda: warning() is None)
    database.close()


def test_no_limit_is_warned_of_for_a_sensor_that_is_retired_until_it_is_heard_again(config: Settings) -> None:
    watch = LedgerWatch(config)
    rows = [("fc", "gone", "t"), ("fc", "back", "t"), ("fc", "here", "t")]
    with redis.Redis.from_url(config.redis_url) as cache:
        cache.hset(keys.RETIRED, mapping={"fc/gone": 1, "fc/back": 1})
        cache.hset(keys.LATEST, "fc/back", encode(Latest("fc", "back", 1, 1, 1, {"t": 1.0})))
        try:
            assert watch._not_retired(rows) == [("fc", "back", "t"), ("fc", "here", "t")]
            assert watch._not_retired([]) == []
        finally:
            cache.hdel(keys.RETIRED, "fc/gone", "fc/back")
            cache.hdel(keys.LATEST, "fc/back")


def test_rules_for_limits_are_read_from_a_file(tmp_path: Path, config: Settings) -> None:
    from spark_jobs.forecasts import read_limits

    (tmp_path / "limits.json").write_text('[{"metric": "temp*", "high": 30}]')
    changed = config.model_copy(update={"limits": tmp_path / "limits.json"})
    (rule,) = read_limits(changed)
    assert rule.matches("bern", "s1", "temperature")
    assert not rule.matches("bern", "s1", "humidity")
