"""`weir up --kafka zookeeper`: readings go all the way on Kafka 3.9 with a real ZooKeeper."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg2
import pytest

from deploy import jars, status
from deploy.stack import SERVERS, Stack
from edge.publisher import Publisher
from tests.conftest import eventually, running
from weir.ledger import totals
from weir.settings import Settings, settings
from weir.versions import KAFKA_WITH_ZOOKEEPER, ZOOKEEPER

READINGS = 200


@pytest.fixture(scope="module")
def old() -> Iterator[Stack]:
    with running("weir-zk-", (*SERVERS, "bridge", "detector", "alerts", "spark"), 10, 28_100, kafka="zookeeper") as one:
        yield one


def test_readings_go_from_mqtt_to_postgres_and_the_ledger_balances(old: Stack) -> None:
    config = Settings(_env_file=old.home / "env", home=old.home)
    names = {process.name for process in old.supervisor.processes() if process.state == "running"}
    assert {"zookeeper", "kafka"} <= names
    publisher = Publisher(config, "weir-zk", [("bern", "old-1")])
    publisher.birth("bern", "old-1", {"lat": 46.9, "lon": 7.4, "metrics": {"t": {"unit": "Cel"}}})
    start = int(time.time() * 1000) - READINGS * 1000
    for seq in range(READINGS):
        publisher.data("bern", "old-1", {"ts": start + seq * 1000, "seq": seq, "metrics": {"t": float(seq)}})
    publisher.close()

    def balanced() -> bool:
        found = totals(status.ledger(config), int(time.time() * 1000))
        return found.received == READINGS and found.stored + found.duplicate == READINGS and found.missing == 0

    eventually(balanced, 120)
    with psycopg2.connect(config.dsn("reader")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT absent FROM sequences WHERE sensor = 'old-1'")
        assert cursor.fetchone() == (0,)


def test_the_jars_are_those_of_the_last_kafka_with_zookeeper(old: Stack) -> None:
    folder = settings().jars / jars.ZOOKEEPER_FOLDER
    assert (folder / f"kafka_2.13-{KAFKA_WITH_ZOOKEEPER}.jar").exists()
    assert (folder / f"zookeeper-{ZOOKEEPER}.jar").exists()
