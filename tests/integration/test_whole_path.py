"""From MQTT to Redis, the topics, Postgres and the ledger, on real servers."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import psycopg2
import pytest
import redis
from paho.mqtt.enums import CallbackAPIVersion

from deploy import status
from deploy.stack import Stack
from tests.conftest import eventually
from weir import keys
from weir.errors import Refused
from weir.readings import parse_data
from weir.settings import Settings


@pytest.fixture
def device(stack: Stack, config: Settings) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.username_pw_set(config.mqtt_user, config.mqtt_password)
    client.connect(config.host, config.mqtt_port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def publish(device: mqtt.Client, topic: str, payload: Any) -> None:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    device.publish(topic, body, qos=1).wait_for_publish(10)


def now() -> int:
    return int(time.time() * 1000)


def rows(config: Settings, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(config.dsn("reader"))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, arguments)
            return cursor.fetchall()
    finally:
        connection.close()


def test_a_reading_reaches_redis_and_postgres_with_its_place(device: mqtt.Client, config: Settings) -> None:
    birth = {"lat": 46.95, "lon": 7.44, "kind": "park", "metrics": {"temperature": {"unit": "Cel"}}}
    publish(device, "weir/t/s1/birth", birth)
    publish(device, "weir/t/s1/data", {"ts": now(), "seq": 1, "metrics": {"temperature": 21.5}})
    with redis.Redis.from_url(config.redis_url) as cache:
        latest: Any = eventually(lambda: cache.hget(keys.LATEST, "t/s1"))
    assert json.loads(latest)["metrics"] == {"temperature": 21.5}
    query = (
        "SELECT value, lat FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) "
        "WHERE site = 't' AND sensor = 's1' AND lat IS NOT NULL"
    )
    assert eventually(lambda: rows(config, query)) == [(21.5, 46.95)]


def test_a_spike_is_flagged_in_postgres_with_its_reasons(device: mqtt.Client, config: Settings) -> None:
    start = now() - 100_000
    history = [{"ts": start + i * 1000, "metrics": {"t": 20 + i % 5}, "hist": True} for i in range(99)]
    publish(device, "weir/t/spiky/data", history)
    publish(device, "weir/t/spiky/data", {"ts": now(), "metrics": {"t": 90.0}})
    query = (
        "SELECT value, q1, q3, high, n FROM anomalies JOIN series USING (series_id) JOIN sensors USING (sensor_id) "
        "WHERE sensor = %s"
    )
    ((value, q1, q3, high, n),) = eventually(lambda: rows(config, query, "spiky"))
    assert value == 90.0
    assert n >= 50
    assert 15 <= q1 <= q3 < high < 60


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\x00{", "not_json"),
        (b'{"ts":99999999999999,"metrics":{"t":1}}', "future_timestamp"),
        (b"[]", "bad_shape"),
    ],
)
def test_what_cannot_be_used_is_kept_as_a_dead_letter(
    device: mqtt.Client, config: Settings, payload: bytes, reason: str
) -> None:
    publish(device, f"weir/t/bad-{reason}/data", payload)
    query = "SELECT reason, payload FROM dead_letters WHERE source = %s"
    ((found, kept),) = eventually(lambda: rows(config, query, f"weir/t/bad-{reason}/data"))
    assert (found, bytes(kept)) == (reason, payload)


def test_the_ledger_balances_and_counts_what_is_published_twice(device: mqtt.Client, config: Settings) -> None:
    before = eventually(lambda: status.ledger_totals(config))
    reading = {"ts": now(), "seq": 1, "metrics": {"t": 1.0}}
    for _ in range(3):
        publish(device, "weir/t/twice/data", reading)
    for i in range(500):
        publish(device, f"weir/t/many-{i % 7}/data", {"ts": now() + i, "seq": i // 7, "metrics": {"t": 1.0, "h": 2.0}})

    def balanced() -> bool:
        totals = status.ledger_totals(config)
        if totals is None or totals.received < before.received + 503 or totals.duplicate < before.duplicate + 2:
            return False
        # Not an equation of the sums: a bridge killed by another test has counted a little less than it sent.
        return totals.missing == totals.pending == 0

    assert eventually(balanced)


def test_any_bytes_are_stored_or_kept_as_a_dead_letter(device: mqtt.Client, config: Settings) -> None:
    chance = random.Random(7)
    good = json.dumps({"ts": now(), "metrics": {"t": 1.0}}).encode()
    stored = refused = 0
    for n in range(300):
        payload = bytearray(good)
        for _ in range(chance.randrange(4)):
            payload[chance.randrange(len(payload))] = chance.randrange(256)
        try:
            stored += len(parse_data("fuzz", f"s{n}", bytes(payload), now()))
        except Refused:
            refused += 1
        device.publish(f"weir/fuzz/s{n}/data", bytes(payload), qos=1)
    of_site = "FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE site = 'fuzz'"
    eventually(lambda: rows(config, f"SELECT count(DISTINCT sensor_id) {of_site}") == [(stored,)])
    letters = "SELECT count(*) FROM dead_letters WHERE source LIKE 'weir/fuzz/%%'"
    eventually(lambda: rows(config, letters, ()) == [(refused,)])
    assert refused > 50 < stored


def test_the_bridge_killed_under_load_loses_nothing(stack: Stack, device: mqtt.Client, config: Settings) -> None:
    start = now()
    for i in range(3000):
        topic = f"weir/t/killed-{i % 10}/data"
        device.publish(topic, json.dumps({"ts": start + i, "seq": i // 10, "metrics": {"t": float(i)}}), qos=1)
        if i == 1500:
            pid = next(one.pid for one in stack.supervisor.processes() if one.name == "bridge")
            os.kill(pid, signal.SIGKILL)
    query = (
        "SELECT count(*), count(DISTINCT value) FROM all_readings JOIN series USING (series_id) "
        "JOIN sensors USING (sensor_id) WHERE sensor LIKE 'killed-%%'"
    )
    assert eventually(lambda: rows(config, query, ()) == [(3000, 3000)], 120)


def test_status_names_every_component_and_its_health(stack: Stack, config: Settings) -> None:
    report = status.report(stack, config)
    states = {one["name"]: one["state"] for one in report["components"]}
    assert {"mosquitto", "kafka", "postgres", "valkey", "bridge", "detector", "alerts", "spark"} <= set(states)
    assert report["ledger"]["missing"] == 0
