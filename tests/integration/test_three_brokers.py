"""Three brokers, replication 3, min.insync 2: one is killed under load, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy import conf, container, migrations
from tests.conftest import free_ports
from tests.integration.brokers import Broker, cluster_id, until
from weir import connections, topics
from weir.settings import Settings

RECORDS = 3000
PARTITIONS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Settings, list[Broker]]]:
    with tempfile.TemporaryDirectory(prefix="weir-three-") as name:
        base = free_ports(6, 28_220)
        servers = [f"127.0.0.1:{base + i}" for i in range(3)]
        voters = ",".join(f"{i + 1}@127.0.0.1:{base + 3 + i}" for i in range(3))
        config = Settings(
            home=Path(name),
            kafka_servers=",".join(servers),
            kafka_replicas=3,
            kafka_min_insync=2,
            partitions=PARTITIONS,
        )
        cluster, brokers = cluster_id(), []
        for i, server in enumerate(servers):
            folder = Path(name) / f"kafka-{i}"
            # What the local stack's Kafka is set to, with another number, another place, and two more voters.
            properties = container.changed(
                conf.kafka(config, folder),
                {
                    "node.id": str(i + 1),
                    "controller.quorum.voters": voters,
                    "listeners": f"PLAINTEXT://{server},CONTROLLER://127.0.0.1:{base + 3 + i}",
                    "advertised.listeners": f"PLAINTEXT://{server}",
                },
            )
            brokers.append(Broker(folder, properties, cluster))
        try:
            for one in brokers:
                one.start()
            until(lambda: migrations.create_topics(config), (KafkaError, OSError))
            yield config, brokers
        finally:
            for one in brokers:
                one.kill()


async def produce(config: Settings, brokers: list[Broker]) -> set[int]:
    """Send numbers as the bridge's producer does; a broker is killed at half. Returns those that were acknowledged."""
    producer = AIOKafkaProducer(**connections.aiokafka(config), acks="all", enable_idempotence=True)
    await producer.start()
    acknowledged: set[int] = set()
    try:
        futures = {}
        for number in range(RECORDS):
            if number == RECORDS // 2:
                brokers[0].kill()
            futures[number] = await producer.send(topics.READINGS, b"%d" % number, partition=number % PARTITIONS)
        for number, future in futures.items():
            await future
            acknowledged.add(number)
    finally:
        await producer.stop()
    return acknowledged


async def consume(config: Settings) -> list[list[int]]:
    """The numbers of each partition, in order."""
    consumer = AIOKafkaConsumer(**connections.aiokafka(config))
    await consumer.start()
    try:
        partitions = [TopicPartition(topics.READINGS, i) for i in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[list[int]] = [[] for _ in partitions]
        deadline = time.monotonic() + 60
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            assert time.monotonic() < deadline
            for one, records in (await consumer.getmany(timeout_ms=200)).items():
                found[one.partition] += [int(record.value) for record in records]
        return found
    finally:
        await consumer.stop()


async def replicas(config: Settings) -> dict[str, set[int]]:
    admin = AIOKafkaAdminClient(**connections.aiokafka(config))
    await admin.start()
    try:
        described = await admin.describe_topics(list(topics.ALL))
        return {one["topic"]: {len(part["replicas"]) for part in one["partitions"]} for one in described}
    finally:
        await admin.close()


def test_a_topic_that_kafka_refuses_is_named(
    cluster: tuple[Settings, list[Broker]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "ALL", (*topics.ALL, "of-four"))
    with pytest.raises(KafkaError, match="topic of-four: .*replication factor"):
        migrations.create_topics(cluster[0].model_copy(update={"kafka_replicas": 4}))


def test_every_topic_is_on_three_brokers_and_the_loss_of_one_loses_nothing(
    cluster: tuple[Settings, list[Broker]],
) -> None:
    config, brokers = cluster
    container.wait(config)  # as a pod does before its worker starts: the topics are there, so it returns
    assert asyncio.run(replicas(config)) == {topic: {3} for topic in topics.ALL}
    assert asyncio.run(produce(config, brokers)) == set(range(RECORDS))
    found = asyncio.run(consume(config))
    assert found == [list(range(i, RECORDS, PARTITIONS)) for i in range(PARTITIONS)]
