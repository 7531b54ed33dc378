"""The one Spark session: as small and as quick to start as it goes on one machine, the same code on a cluster."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from weir import connections, logs, versions, windows
from weir.errors import SetupError
from weir.settings import Settings

_STATE_STORE = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
_LOG4J = """rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.target = SYSTEM_ERR
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{yyyy-MM-dd HH:mm:ss} %p %c{1}: %.-600m%ex{none}%n
logger.heartbeat.name = org.apache.spark.sql.execution.streaming.runtime.ProcessingTimeExecutor
logger.heartbeat.level = error
logger.kafka.name = org.apache.kafka.clients
logger.kafka.level = error
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.aqe.name = org.apache.spark.sql.execution.streaming.runtime.MicroBatchExecution
logger.aqe.level = error
logger.executor.name = org.apache.spark.executor.Executor
logger.executor.level = off
"""


def conf(config: Settings, folder: Path) -> dict[str, str]:
    """Spark's settings. `folder` is where its own files go."""
    jars = sorted(str(jar.resolve()) for jar in (config.jars / "spark").glob("*.jar"))
    if not jars:
        raise SetupError(f"no Spark connector in {config.jars / 'spark'}: run `make up`, which fetches it")
    local = config.spark_master.startswith("local")
    return {
        "spark.app.name": "weir",
        "spark.master": config.spark_master,
        "spark.driver.memory": config.spark_memory,
        "spark.driver.host": config.spark_driver_host or config.host,
        "spark.driver.bindAddress": config.host,
        # In one process the class path will do; a cluster's executors have to be sent the jars.
        "spark.driver.extraClassPath" if local else "spark.jars": (":" if local else ",").join(jars),
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss4m"
        f" -Dlog4j2.configurationFile=file:{folder / 'log4j2.properties'} -Dderby.system.home={folder}",
        # The hourly forecasts share the cores with the streaming queries, task by task.
        "spark.scheduler.mode": "FAIR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        "spark.sql.streaming.stateStore.providerClass": _STATE_STORE,
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
        "spark.sql.streaming.stopTimeout": "4s",
        "spark.sql.streaming.metricsEnabled": "false",
        **dict(pair.split("=", 1) for pair in config.spark_conf.split()),
    }


def start(config: Settings, folder: Path) -> SparkSession:
    """Start Spark.

    Raises `SetupError` when versions do not fit, our user has no name, or, on Windows, Hadoop's helper is missing.
    """
    logs.apply(config)
    windows.require_hadoop()
    versions.require_spark(config.jars)
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    (folder / "log4j2.properties").write_text(_LOG4J)
    _require_name(folder / "log4j2.properties")
    # Only the environment reaches a gateway that Python itself starts.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = config.host
    os.environ["SPARK_LOCAL_DIRS"] = str(folder / "tmp")
    builder = SparkSession.Builder()
    for name, value in conf(config, folder).items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _require_name(ours: Path) -> None:
    """Hadoop, below Spark, dies of a null pointer where the owner of `ours` has no name, as in an image of another."""
    with suppress(NotImplementedError):  # Windows
        try:
            ours.owner()
        except KeyError:
            uid = ours.stat().st_uid
            how = f"a line in /etc/passwd, which an image gets by `docker build --build-arg WEIR_UID={uid}`"
            raise SetupError(f"Spark needs a name for its user, and uid {uid} has none: {how}") from None


def kafka(
    spark: SparkSession, config: Settings, topics: list[str], most: int, least: int = 0, wait_s: int = 0
) -> DataFrame:
    """A stream of the records of `topics`, at most `most` in one batch.

    With `least`, a batch waits for so many records, but `wait_s` seconds at most: a batch costs what it costs however
    little is in it, so the less there is the rarer they are, and a backlog is worked off without a pause.

    While Kafka is away the source goes on asking. Records that Kafka no longer has (retention) are passed over with
    a warning: the ledger shows them as missing.
    """
    source = (
        spark.readStream.format("kafka")
        .options(**{f"kafka.{name}": value for name, value in connections.java_kafka(config).items()})
        .option("subscribe", ",".join(topics))
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", most)
        .option("failOnDataLoss", "false")
        .option("fetchOffset.numRetries", 1_000_000)
        .option("fetchOffset.retryIntervalMs", 1000)
    )
    if least:
        source = source.option("minOffsetsPerTrigger", least).option("maxTriggerDelay", f"{wait_s}s")
    return source.load()
