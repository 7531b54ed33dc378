"""The archive: every record of every topic into Postgres. Stateless; any batch may be replayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.streaming import StreamingQuery

from spark_jobs import session, stage_metrics
from spark_jobs.database import Database
from spark_jobs.lateness import horizon_ms
from spark_jobs.records import Record
from spark_jobs.storing import Store
from weir import topics
from weir.settings import Settings, settings

TOPICS = [topics.READINGS, topics.ANOMALIES, topics.ALERTS, topics.SENSORS, topics.DEAD_LETTERS]
#: Frames in one batch, over all partitions. What is written at once is bounded by CHUNK_BYTES, not by this.
MOST_RECORDS = 20_000
#: With so many records waiting a batch starts at once, not only after `archive_wait_s`.
LEAST_RECORDS = 4_000
#: About 40,000 readings.
CHUNK_BYTES = 4 * 1024 * 1024

Key = tuple[str, int]


def start(spark: SparkSession, config: Settings, folder: Path) -> StreamingQuery:
    """Start the query. One batch serves all topics, so an idle topic costs nothing."""
    return (
        session.kafka(spark, config, TOPICS, MOST_RECORDS, LEAST_RECORDS, config.archive_wait_s)
        .selectExpr("topic", "partition", "offset", "unix_millis(timestamp) AS at", "value")
        .writeStream.queryName("archive")
        .option("checkpointLocation", str(folder / "archive"))
        .trigger(processingTime=f"{config.archive_trigger_s} seconds")
        .foreachBatch(write_batch)
        .start()
    )


def write_batch(batch: DataFrame, _id: int) -> None:
    """Hand whole frames to the workers: Spark's cost is per row, so the fewer rows the better."""
    batch.foreachPartition(write_partition)


def write_partition(rows: Iterable[Row]) -> None:
    """Store the rows of one Spark partition (which is one Kafka partition), in chunks, each in one transaction."""
    store = _store()
    for (topic, partition), records in chunks(rows, CHUNK_BYTES):
        store.store(topic, partition, records)


def chunks(rows: Iterable[Row], most_bytes: int) -> Iterator[tuple[Key, list[Record]]]:
    """Cut (topic, partition, offset, at, value) rows where the partition changes or `most_bytes` are reached."""
    key: Key | None = None
    records: list[Record] = []
    size = 0
    for topic, partition, offset, at, value in rows:
        if records and ((topic, partition) != key or size >= most_bytes):
            yield key, records  # type: ignore[misc]
            records, size = [], 0
        key = (topic, partition)
        data = None if value is None else bytes(value)
        records.append(Record(offset, at, data))
        size += len(data or b"")
    if records:
        yield key, records  # type: ignore[misc]


@lru_cache(maxsize=1)
def _store() -> Store:
    """One per worker process, which Spark keeps between batches."""
    config = settings()
    database = Database(config.dsn("writer"), "weir-archive")
    return Store(database, horizon_ms(config.watermark), stage_metrics.stored)
