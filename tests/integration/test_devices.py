"""Devices that speak other formats: from their own topics to the store, each example of docs/devices.md."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import status
from deploy.stack import Stack
from edge.publisher import Publisher
from tests.conftest import eventually
from tests.devices import EXAMPLES, said
from weir.settings import Settings

_STORED = """
SELECT site || '/' || sensor, metric, value
FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE site || '/' || sensor = ANY(%s)"""


@pytest.fixture(scope="module")
def publisher(stack: Stack, config: Settings) -> Iterator[Publisher]:
    one = Publisher(config, "weir-test-devices", [])
    yield one
    one.close()


def stored(config: Settings, sensors: list[str], wanted: set[tuple[str, str, float]]) -> None:
    eventually(lambda: wanted <= set(status.postgres_rows(config, _STORED, (sensors,))))


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["title"] for example in EXAMPLES])
def test_each_example_is_published_by_mosquitto_pub_and_stored_as_the_document_says(
    example: dict[str, str], config: Settings, tmp_path: Path
) -> None:
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "mosquitto_pub").write_text(
        f"-h {config.host}\n-p {config.mqtt_port}\n-u {config.mqtt_user}\n-P {config.mqtt_password}\n-q 1\n"
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    subprocess.run(["sh", "-e"], input=example["sh"].encode(), env=env, check=True)
    wanted = said(example)
    stored(config, sorted({where for where, _, _ in wanted}), set(wanted))


def test_what_a_decoder_refuses_is_a_dead_letter_with_its_bytes(publisher: Publisher, config: Settings) -> None:
    publisher.raw("tele/broken/SENSOR", b'{"Time": "yesterday"')
    query = "SELECT reason, payload FROM dead_letters WHERE source = 'tele/broken/SENSOR'"
    ((reason, payload),) = eventually(lambda: status.postgres_rows(config, query, ()))
    assert (reason, bytes(payload)) == ("not_json", b'{"Time": "yesterday"')
