"""The cold path on the real connector: Spark's own arithmetic, and its queries killed in the middle of a batch."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from deploy.stack import Stack
from spark_jobs import rollups, session
from spark_jobs.lateness import MAX_TS, SLACK_MS, on_time
from tests.conftest import eventually
from tests.integration.test_faults import Load, pid, running_again
from weir.readings import MAX_AHEAD_MS, Reading, encode_frame
from weir.settings import Settings
from weir.settings import settings as default

HORIZON = 8 * 60_000
AT = 1_795_431_817_932

edges = st.sampled_from([0, 1, -1, HORIZON, HORIZON + 1, -MAX_AHEAD_MS, -MAX_AHEAD_MS - 1, 10**9, SLACK_MS])
times = st.one_of(st.integers(AT - 2 * HORIZON, AT + 2 * HORIZON), st.sampled_from([0, -1, MAX_TS, MAX_TS + 1, 2**60]))


@pytest.fixture(scope="module")
def spark(jars: None) -> Iterator[SparkSession]:
    with tempfile.TemporaryDirectory() as folder:
        one = session.start(default(), Path(folder))
        yield one
        one.stop()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(times, edges, edges, st.booleans()), min_size=1, max_size=40))
def test_spark_and_the_archive_agree_on_what_is_on_time(
    spark: SparkSession, cases: list[tuple[int, int, int, bool]]
) -> None:
    readings = [
        (Reading("bern", f"s{n}", rx - age, rx, {"t": 1.0}, hist=hist), rx + held)
        for n, (rx, age, held, hist) in enumerate(cases)
    ]
    records = [
        (bytearray(encode_frame([one])), datetime.fromtimestamp(max(0, min(at, MAX_TS)) / 1000, UTC))
        for one, at in readings
    ]
    frames = spark.createDataFrame(records, "value binary, timestamp timestamp")
    counted = {row.sensor for row in rollups.measured(frames, HORIZON).collect()}
    expected = {one.sensor for one, at in readings if on_time(one, max(0, min(at, MAX_TS)), HORIZON)}
    assert counted == expected


_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"""


def killed_in_a_batch(stack: Stack, config: Settings, victim: str, during: str, table: str) -> None:
    """Kill `victim` while the connection `during` is in a transaction: it cannot write to `table` before it dies."""
    holding = psycopg2.connect(config.dsn("writer"))
    with holding.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")

        def waits() -> bool:
            with psycopg2.connect(config.dsn("writer")) as looking, looking.cursor() as look:  # others may not see it
                look.execute(_WAITING, (during,))
                (count,) = look.fetchone() or (0,)
            looking.close()
            return bool(count)

        eventually(waits)
        old = pid(stack, victim)
        os.kill(old, signal.SIGKILL)
        if victim != "postgres":
            holding.rollback()
    holding.close()
    eventually(lambda: running_again(stack, victim, old))


_DIFFERENT = """
WITH mine AS (SELECT series_id FROM series JOIN sensors USING (sensor_id) WHERE site = %s),
raw AS (
    SELECT series_id, date_bin('5 minutes', ts, 'epoch') AS bucket, count(*) AS n, avg(value) AS mean,
           min(value) AS min, max(value) AS max, (array_agg(value ORDER BY ts))[1] AS first,
           (array_agg(value ORDER BY ts DESC))[1] AS last, stddev_samp(value) AS stddev
    FROM all_readings JOIN mine USING (series_id) GROUP BY 1, 2)
SELECT (SELECT sum(n) FROM raw), count(*)
FROM raw FULL JOIN (SELECT a.* FROM readings_5m a JOIN mine USING (series_id)) a USING (series_id, bucket)
WHERE (raw.n, raw.min, raw.max, raw.first, raw.last) IS DISTINCT FROM (a.n, a.min, a.max, a.first, a.last)
   OR abs(raw.mean - a.mean) > 1e-9 * abs(raw.mean) OR abs(raw.stddev - a.stddev) > 1e-9 * raw.stddev"""


@pytest.mark.parametrize(
    ("victim", "during", "table"),
    [
        ("spark", "weir-archive", "readings"),
        ("spark", "weir-rollups", "readings_5m"),
        ("postgres", "weir-archive", "readings"),
    ],
)
def test_killed_in_the_middle_of_a_batch_everything_is_there_once_and_every_aggregate_is_right(
    stack: Stack, config: Settings, victim: str, during: str, table: str
) -> None:
    load = Load(config, f"cold-{victim}-{during}")
    load.reach(0.4)
    killed_in_a_batch(stack, config, victim, during, table)
    load.finish()

    def settled() -> bool:
        try:
            with psycopg2.connect(config.dsn("reader")) as connection, connection.cursor() as cursor:
                cursor.execute(_DIFFERENT, (load.site,))
                found = cursor.fetchone()
            connection.close()
        except psycopg2.OperationalError:
            return False
        return found == (load.sent, 0)

    eventually(settled, 120)
