"""Devices that speak other formats: from their own topics to the store, each example of docs/devices.md."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from deploy import status
from deploy.stack import Stack
from edge.publisher import Publisher
from stream_apps.decoders import Registry
from tests.conftest import eventually
from tests.devices import EXAMPLES, published, said
from weir.settings import Settings

_STORED = """
SELECT site || '/' || sensor, metric, value
FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE site || '/' || sensor = ANY(%s)"""


def now() -> int:
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def publisher(stack: Stack, config: Settings) -> Iterator[Publisher]:
    one = Publisher(config, "weir-test-devices", [])
    yield one
    one.close()


def stored(config: Settings, sensors: list[str], wanted: set[tuple[str, str, float]]) -> None:
    eventually(lambda: wanted <= set(status.postgres_rows(config, _STORED, (sensors,))))


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["title"] for example in EXAMPLES])
def test_a_message_of_each_format_is_stored_as_the_document_says(
    example: dict[str, str], publisher: Publisher, config: Settings, tmp_path: Path
) -> None:
    said_to_be = said(example)
    sensors = sorted({where for where, _, _ in said_to_be})
    wanted: set[tuple[str, str, float]] = set()
    made = Registry(msgspec.json.decode(example["rules"]))
    for topic, payload in published(example["sh"], tmp_path):
        publisher.raw(topic, payload)
        # One after the other: readings without a time of their own get that of their receipt, and two of one series
        # in the same millisecond would be taken for one.
        count = sum(len(reading.metrics) for reading in made.decode(topic, payload, now()).readings)
        wanted |= set(said_to_be[:count])
        said_to_be = said_to_be[count:]
        stored(config, sensors, wanted)
    assert said_to_be == []


def test_what_a_decoder_refuses_is_a_dead_letter_with_its_bytes(publisher: Publisher, config: Settings) -> None:
    publisher.raw("tele/broken/SENSOR", b'{"Time": "yesterday"')
    query = "SELECT reason, payload FROM dead_letters WHERE source = 'tele/broken/SENSOR'"
    ((reason, payload),) = eventually(lambda: status.postgres_rows(config, query, ()))
    assert (reason, bytes(payload)) == ("not_json", b'{"Time": "yesterday"')
