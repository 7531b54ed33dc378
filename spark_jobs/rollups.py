"""The rollups: 5-minute aggregates of what is on time, in event time, kept by Spark and upserted as absolute values."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.streaming import StreamingQuery

from spark_jobs import session
from spark_jobs.database import Database
from spark_jobs.lateness import MAX_TS, SLACK_MS, horizon_ms
from spark_jobs.partitions import Partitions
from spark_jobs.series import SeriesIds
from weir import topics
from weir.errors import Refused
from weir.readings import MAX_AHEAD_MS, check_name
from weir.settings import Settings

log = logging.getLogger("weir.spark")

MOST_RECORDS = 40_000
_SCHEMA = "array<struct<site:string,sensor:string,ts:bigint,rx:bigint,hist:boolean,metrics:map<string,double>>>"

# A bucket that ends within `reach` is closed: only the repair may write it (spark_jobs/repair.py says why).
_UPSERT = """
INSERT INTO readings_5m AS r (series_id, bucket, n, mean, min, max, stddev, first, last)
SELECT v.series_id, v.bucket, v.n, v.mean, v.min, v.max, v.stddev, v.first, v.last
FROM (VALUES %s) AS v(series_id, bucket, n, mean, min, max, stddev, first, last)
WHERE v.bucket + interval '5 minutes' > (SELECT reach FROM rollup_reach)
ON CONFLICT (series_id, bucket) DO UPDATE SET
    n = excluded.n, mean = excluded.mean, min = excluded.min, max = excluded.max, stddev = excluded.stddev,
    first = excluded.first, last = excluded.last"""
_ROW = "(%s, to_timestamp(%s / 1000.0), %s::bigint" + 6 * ", %s::float8" + ")"


def measured(frames: DataFrame, horizon: int) -> DataFrame:
    """(ts timestamp, site, sensor, metric, value) of what is on time.

    `frames` has a column `value` of JSON and a column `timestamp`: when the record was appended to Kafka.

    The filter is `lateness.on_time`. Times outside its range become null before they are computed with: a hostile
    number must not overflow.
    """
    reading = (
        frames.select(
            f.unix_millis(f.col("timestamp")).alias("at"),
            f.explode(f.from_json(f.col("value").cast("string"), _SCHEMA, {"allowNonNumericNumbers": "false"})).alias(
                "r"
            ),
        )
        .select(
            "at",
            "r.site",
            "r.sensor",
            "r.metrics",
            _sane(f.col("r.ts")).alias("ts"),
            _sane(f.col("r.rx")).alias("rx"),
            f.coalesce(f.col("r.hist"), f.lit(False)).alias("hist"),
        )
        .where(~f.col("hist") & (f.col("rx") - f.col("ts")).between(-MAX_AHEAD_MS, horizon))
        .where(f.col("at") - f.col("rx") <= SLACK_MS)
    )
    return reading.select(
        f.timestamp_millis(f.col("ts")).alias("ts"), "site", "sensor", f.explode("metrics").alias("metric", "value")
    )


def _sane(ms: Column) -> Column:
    return f.when(ms.between(0, MAX_TS), ms)


def aggregated(values: DataFrame, watermark: str) -> DataFrame:
    """One row per series and 5-minute bucket: n, mean, min, max, the sample standard deviation, first and last.

    Quartiles would need all values in Spark's state: the repair adds them from raw when a bucket is closed.
    """
    return (
        values.withWatermark("ts", watermark)
        .groupBy(f.window("ts", "5 minutes"), "site", "sensor", "metric")
        .agg(
            f.count("value").alias("n"),
            f.avg("value").alias("mean"),
            f.min("value").alias("min"),
            f.max("value").alias("max"),
            f.stddev_samp("value").alias("stddev"),
            f.min_by("value", "ts").alias("first"),
            f.max_by("value", "ts").alias("last"),
        )
        .select("site", "sensor", "metric", f.unix_millis(f.col("window.start")).alias("bucket"), "n", "mean", "min",
                "max", "stddev", "first", "last")
    )  # fmt: skip


def start(spark: SparkSession, config: Settings, folder: Path, stopping: Callable[[], bool]) -> StreamingQuery:
    """Start the query. Its state and its place in Kafka are in `folder`."""
    frames = session.kafka(spark, config, [topics.READINGS], MOST_RECORDS)
    rows = aggregated(measured(frames, horizon_ms(config.watermark)), config.watermark)
    writer = Writer(Database(config.dsn("writer"), "weir-rollups", stopping))
    return (
        rows.writeStream.queryName("rollups")
        .outputMode("update")
        .option("checkpointLocation", str(folder / "rollups"))
        .trigger(processingTime=f"{config.rollup_trigger_s} seconds")
        .foreachBatch(lambda batch, _id: writer.write(batch.collect()))
        .start()
    )


class Writer:
    """Upserts what changed in a batch: a row per series and open bucket, few enough for the driver."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids = SeriesIds()
        self._partitions = Partitions()

    def write(self, rows: list[Row]) -> None:
        """Store aggregates. The same rows again, or newer ones, replace them: values are absolute."""
        rows = [row for row in rows if row.n and _named(row)]
        if not rows:
            return
        self._ids.learn(self._database, ((row.site, row.sensor, row.metric) for row in rows))
        self._partitions.ensure(self._database, (row.bucket for row in rows))
        values = sorted(
            (self._ids[row.site, row.sensor, row.metric], row.bucket, row.n, row.mean, row.min, row.max, row.stddev,
             row.first, row.last)
            for row in rows
        )  # fmt: skip
        self._database.run(lambda connection: _upsert(connection, values))


def _named(row: Row) -> bool:
    """The archive makes a dead letter of the others; counted here they would only be removed again."""
    try:
        for name in (row.site, row.sensor, row.metric):
            check_name(name or "")
    except Refused as error:
        log.warning("not rolled up: %s", error)
        return False
    return True


def _upsert(connection: Connection, values: list[tuple]) -> None:
    with connection.cursor() as cursor:
        execute_values(cursor, _UPSERT, values, template=_ROW, page_size=2000)
