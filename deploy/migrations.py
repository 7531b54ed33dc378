"""Migrations (yoyo, forward only) and Kafka's topics."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote, urlencode

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from yoyo import get_backend, read_migrations

from deploy.health import listening, tls_trouble
from weir import connections, topics
from weir.errors import SetupError
from weir.settings import Settings

FOLDER = Path(__file__).parent / "sql"

_DAY_MS = 24 * 3600 * 1000
_BOUNDED = {"cleanup.policy": "delete", "retention.ms": str(3 * _DAY_MS), "retention.bytes": str(1024**3)}
_BOUNDED["segment.bytes"] = str(128 * 1024**2)  # only whole closed segments are ever deleted
_COMPACTED = {"cleanup.policy": "compact", "segment.ms": str(_DAY_MS)}


def migrate(config: Settings) -> int:
    """Apply what is not applied yet, as the owner of the schema. Returns how many."""
    user, password = quote(config.postgres_migrator), quote(config.postgres_migrator_password)
    host, port = config.postgres
    tls = {"sslmode": config.postgres_sslmode, "sslrootcert": str(config.postgres_ca or "")}
    query = urlencode({name: value for name, value in tls.items() if value})
    backend = get_backend(f"postgresql://{user}:{password}@{host}:{port}/{config.postgres_db}?{query}".rstrip("?"))
    with backend.lock():
        due = backend.to_apply(read_migrations(str(FOLDER)))
        count = len(due)
        backend.apply_migrations(due)
    backend.connection.close()
    return count


def create_topics(config: Settings) -> None:
    """Make the topics that are missing. Workers never do: a topic made late is ignored for minutes.

    Raises `SetupError` when Kafka refuses our name or certificate, which no waiting mends.
    """
    try:
        asyncio.run(_create_topics(config))
    except KafkaError as error:
        if config.kafka_security == "PLAINTEXT" or listening(*config.kafka_first):
            raise
        raise SetupError(_refused(config, error)) from error


def _refused(config: Settings, error: KafkaError) -> str:
    """aiokafka only says that it could not bootstrap: TLS is tried alone, to tell it from a wrong password."""
    trouble = tls_trouble(config)
    if trouble:
        return f"Kafka at {config.kafka} does not get through TLS: {trouble}"
    if connections.uses_sasl(config):
        return f"Kafka at {config.kafka} refuses WEIR_KAFKA_USER={config.kafka_user}: check WEIR_KAFKA_PASSWORD"
    return f"Kafka at {config.kafka} cannot be used: {error}"


def missing_topics(config: Settings) -> set[str]:
    """Those of Weir's topics that are not there yet. Raises `KafkaError` or `OSError` while Kafka is away."""
    return asyncio.run(_missing_topics(config))


async def _missing_topics(config: Settings) -> set[str]:
    admin = AIOKafkaAdminClient(**connections.aiokafka(config))
    await admin.start()
    try:
        return set(topics.ALL) - set(await admin.list_topics())
    finally:
        await admin.close()


async def _create_topics(config: Settings) -> None:
    admin = AIOKafkaAdminClient(**connections.aiokafka(config))
    await admin.start()
    try:
        missing = set(topics.ALL) - set(await admin.list_topics())
        wanted = [_new_topic(name, config) for name in sorted(missing)]
        if wanted:
            for name, code, *said in (await admin.create_topics(wanted)).topic_errors:
                if code not in (0, TopicAlreadyExistsError.errno):  # too few brokers so far, for one: it can be retried
                    raise for_code(code)(f"topic {name}: {' '.join(map(str, said))}")
    finally:
        await admin.close()


def _new_topic(name: str, config: Settings) -> NewTopic:
    partitions = max(config.partitions, config.bridge_shards) if name == topics.BRIDGE_SHARDS else config.partitions
    settings = dict(_COMPACTED if name in topics.COMPACTED else _BOUNDED)
    settings["max.message.bytes"] = "3145728"
    if name == topics.READINGS:
        # What is late is told by when a record came to Kafka (spark_jobs/lateness.py), not by when it was made.
        settings["message.timestamp.type"] = "LogAppendTime"
    settings["min.insync.replicas"] = str(config.kafka_min_insync)
    return NewTopic(name, partitions, config.kafka_replicas, topic_configs=settings)
