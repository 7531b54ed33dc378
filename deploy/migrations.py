"""Migrations (yoyo, forward only) and Kafka's topics."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from yoyo import get_backend, read_migrations

from weir import topics
from weir.settings import Settings

FOLDER = Path(__file__).parent / "sql"

_DAY_MS = 24 * 3600 * 1000
_BOUNDED = {"cleanup.policy": "delete", "retention.ms": str(3 * _DAY_MS), "retention.bytes": str(1024**3)}
_BOUNDED["segment.bytes"] = str(128 * 1024**2)  # only whole closed segments are ever deleted
_COMPACTED = {"cleanup.policy": "compact", "segment.ms": str(_DAY_MS)}


def migrate(config: Settings) -> int:
    """Apply what is not applied yet, as the owner of the schema. Returns how many."""
    user, password = quote(config.postgres_migrator), quote(config.postgres_migrator_password)
    uri = f"postgresql://{user}:{password}@{config.host}:{config.postgres_port}/{config.postgres_db}"
    backend = get_backend(uri)
    with backend.lock():
        due = backend.to_apply(read_migrations(str(FOLDER)))
        count = len(due)
        backend.apply_migrations(due)
    backend.connection.close()
    return count


def create_topics(config: Settings) -> None:
    """Make the topics that are missing. Workers never do: a topic made late is ignored for minutes."""
    asyncio.run(_create_topics(config))


async def _create_topics(config: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=config.kafka)
    await admin.start()
    try:
        missing = set(topics.ALL) - set(await admin.list_topics())
        wanted = [_new_topic(name, config) for name in sorted(missing)]
        if wanted:
            await admin.create_topics(wanted)
    finally:
        await admin.close()


def _new_topic(name: str, config: Settings) -> NewTopic:
    partitions = max(config.partitions, config.bridge_shards) if name == topics.BRIDGE_SHARDS else config.partitions
    settings = dict(_COMPACTED if name in topics.COMPACTED else _BOUNDED)
    settings["max.message.bytes"] = "3145728"
    if name == topics.READINGS:
        # What is late is told by when a record came to Kafka (spark_jobs/lateness.py), not by when it was made.
        settings["message.timestamp.type"] = "LogAppendTime"
    return NewTopic(name, partitions, 1, topic_configs=settings)
