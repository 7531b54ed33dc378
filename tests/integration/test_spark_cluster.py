"""Archive and rollups by master URL: a standalone master and two workers, from the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pyspark
import pytest

from deploy import health
from deploy.stack import SERVERS, Stack
from edge.publisher import Publisher
from tests.conftest import eventually, running
from weir.settings import Settings

READINGS = 500


@pytest.fixture
def stack() -> Iterator[Stack]:
    with running("weir-cluster-", (*SERVERS, "bridge"), 16, 28_260) as one:
        yield one


def spark_class(home: Path, log: str, *arguments: str) -> subprocess.Popen[bytes]:
    spark_home = Path(pyspark.__file__).parent
    environment = {**os.environ, "SPARK_HOME": str(spark_home), "SPARK_LOCAL_IP": "127.0.0.1"}
    environment |= {"SPARK_DAEMON_MEMORY": "256m", "PYSPARK_PYTHON": sys.executable, "WEIR_HOME": str(home)}
    with (home / "log" / log).open("w") as out:
        command = [str(spark_home / "bin" / "spark-class"), *arguments]
        return subprocess.Popen(command, env=environment, stdout=out, stderr=out)


def test_readings_are_stored_by_executors_on_two_workers(stack: Stack) -> None:
    config = Settings(_env_file=stack.home / "env", home=stack.home)
    base = config.spark_port + 1
    url = f"spark://127.0.0.1:{base}"
    processes: list[subprocess.Popen[bytes]] = []
    try:
        master = "org.apache.spark.deploy.master.Master"
        where = ["--host", "127.0.0.1", "--port"]
        processes.append(
            spark_class(stack.home, "master.log", master, *where, str(base), "--webui-port", str(base + 1))
        )
        eventually(lambda: health.listening("127.0.0.1", base) is None, 60)
        worker = "org.apache.spark.deploy.worker.Worker"
        for i in range(2):
            given = ["--cores", "1", "--memory", "1g", "--work-dir", str(stack.home / f"work-{i}")]
            given += ["--host", "127.0.0.1", "--webui-port", str(base + 2 + i), url]
            processes.append(spark_class(stack.home, f"worker-{i}.log", worker, *given))
        environment = {
            **os.environ,
            "WEIR_HOME": str(stack.home),
            "WEIR_SPARK_MASTER": url,
            "WEIR_FORECAST_EVERY_S": "0",
        }
        environment["WEIR_SPARK_CONF"] = "spark.executor.memory=512m spark.executor.cores=1"
        with (stack.home / "log" / "driver.log").open("w") as out:
            command = [sys.executable, "-m", "spark_jobs.app"]
            processes.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
        publisher = Publisher(config, "weir-cluster", [])
        start = int(time.time() * 1000) - READINGS * 1000
        for seq in range(READINGS):
            publisher.data("bern", f"s-{seq % 8}", {"ts": start + seq * 1000, "seq": seq // 8, "metrics": {"t": 1.0}})
        publisher.close()
        eventually(lambda: processes[-1].poll() is not None or stored(config) == READINGS, 180)
        assert processes[-1].poll() is None, (stack.home / "log" / "driver.log").read_text()[-2000:]
        used = {folder.name for folder in stack.home.glob("work-*") if list(folder.glob("app-*/*"))}
        assert used == {"work-0", "work-1"}
    finally:
        for one in reversed(processes):
            one.kill()
            one.wait()


def stored(config: Settings) -> int:
    with psycopg2.connect(config.dsn("reader")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(stored), 0) FROM ledger")
        return int((cursor.fetchone() or (0,))[0])
