"""What a person says of a sensor, on its way to the `sensors` topic."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import redis
from redis.exceptions import RedisError

from web.access.identity import acting
from web.commands import NotSent, commands
from weir import edits, keys, topics
from weir.readings import Edit, Metric, encode
from weir.settings import settings

_edit = msgspec.json.Decoder(Edit)
_redis: Any = None
_making = threading.Lock()


def save(site: str, sensor: str, said: Edit, at: int) -> None:
    """Add `said` to what people said before. Returns once Kafka has it.

    Raises `Refused` for what no sensor may be told to be, `NotSent` when Redis or Kafka does not answer,
    `NotAllowed` for all but operators.
    """
    said = edits.checked(site, sensor, msgspec.structs.replace(said, by=acting(said.by)))
    try:
        held = _client().hget(keys.EDITS, f"{site}/{sensor}")
    except RedisError as error:
        raise NotSent("Redis does not answer: nothing was done, try again") from error
    whole = edits.merged(_edit.decode(held) if held else None, said)
    key, event = edits.event(site, sensor, whole, at)
    partition = topics.partition_of(sensor, settings().partitions)
    commands().put(topics.SENSORS, key, encode(event), partition)


def metric(unit: str | None, low: Any, high: Any) -> Metric:
    """A metric from what stands in three fields; empty ones say nothing. Raises `ValueError`."""
    return Metric((unit or "").strip(), _bound(low), _bound(high))


def _bound(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _client() -> Any:
    global _redis
    with _making:
        if _redis is None:
            _redis = redis.Redis.from_url(settings().redis_url, socket_timeout=3, socket_connect_timeout=1)
        return _redis
