"""What was refused: list it, and put back what was mended."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psycopg2

from deploy.status import postgres_rows
from edge.publisher import Publisher
from weir import topics
from weir.errors import Reason, Refused, SetupError
from weir.readings import Reading, decode_frame
from weir.settings import Settings

_LIST = """
SELECT id, (extract(epoch FROM at) * 1000)::bigint, source, reason, detail, payload,
       (extract(epoch FROM replayed) * 1000)::bigint
FROM dead_letters
WHERE at >= to_timestamp(%s / 1000.0) AND (%s = '' OR reason = %s) AND (%s OR replayed IS NULL)
ORDER BY at DESC, id LIMIT %s"""
_DONE = "UPDATE dead_letters SET replayed = now() WHERE id = ANY(%s)"

#: What the archive refused names its topic after this.
_ARCHIVE = f"archive:{topics.READINGS}"


class DeadLetterRow(msgspec.Struct, frozen=True):
    """One refused message. `at`, `replayed` in ms; `payload` is the original bytes (base64 in JSON)."""

    id: str
    at: int
    source: str
    reason: str
    detail: str
    payload: bytes
    replayed: int | None = None


@dataclass(frozen=True)
class Replayed:
    """How many letters were published again, and why others were not: (id, why)."""

    published: int
    left: list[tuple[str, str]]


def letters(config: Settings, since: int, reason: str, limit: int, replayed: bool = False) -> list[DeadLetterRow]:
    """The newest dead letters from `since` (ms), newest first; those put back already only if `replayed`.

    Raises `OSError` when Postgres is away.
    """
    rows = postgres_rows(config, _LIST, (since, reason, reason, replayed, limit))
    return [
        DeadLetterRow(id, at, source, why, detail, bytes(payload), done)
        for id, at, source, why, detail, payload, done in rows
    ]


def read_file(path: Path) -> list[DeadLetterRow]:
    """Letters as `weir dead-letters --json` prints them, one a line, mended by hand. Raises `SetupError`."""
    try:
        return [msgspec.json.decode(line, type=DeadLetterRow) for line in path.read_bytes().splitlines() if line]
    except (OSError, msgspec.DecodeError) as error:
        raise SetupError(f"{path} is no output of `weir dead-letters --json`: {error}") from error


def replay(config: Settings, found: Iterable[DeadLetterRow]) -> Replayed:
    """Publish letters to MQTT again, oldest first, and mark them as replayed once Mosquitto has them.

    They go the whole way like anything that arrives: what is still wrong becomes a new dead letter.
    Raises `OSError` when Postgres is away.
    """
    publisher = Publisher(config, "weir-dead-letters", [])
    sent: list[str] = []
    left: list[tuple[str, str]] = []
    for letter in sorted(found, key=lambda one: one.at):
        try:
            for topic, payload in messages(letter):
                publisher.raw(topic, payload)
        except Refused as refusal:
            left.append((letter.id, str(refusal)))
        else:
            sent.append(letter.id)
    publisher.flush(threading.Event())
    publisher.close()
    _mark(config, sent)
    return Replayed(len(sent), left)


def messages(letter: DeadLetterRow) -> list[tuple[str, bytes]]:
    """The MQTT messages (topic, payload) that put a letter back (pure). Raises `Refused` for what never came by MQTT.

    What the archive or the detector refused is a whole frame: each of its readings is one message.
    """
    if letter.source in (_ARCHIVE, topics.READINGS):
        return [_message(reading) for reading in decode_frame(letter.payload)]
    if "/" not in letter.source or any(char in letter.source for char in "+#\0"):
        raise Refused(Reason.TOPIC, f"it came from {letter.source!r}, not from MQTT")
    return [(letter.source, letter.payload)]


def _message(reading: Reading) -> tuple[str, bytes]:
    body: dict[str, object] = {"ts": reading.ts, "metrics": reading.metrics, "hist": reading.hist}
    if reading.seq is not None:
        body["seq"] = reading.seq
    return topics.mqtt_topic(reading.site, reading.sensor, "data"), msgspec.json.encode(body)


def _mark(config: Settings, ids: list[str]) -> None:
    try:
        with psycopg2.connect(config.dsn("writer"), connect_timeout=3) as connection, connection.cursor() as cursor:
            cursor.execute(_DONE, (ids,))
        connection.close()
    except psycopg2.Error as error:
        raise OSError(f"they were published, but could not be marked as replayed: {error}") from error
