"""Dead letters put back, readings that never arrive, and the alert for a ledger that does not balance."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg2
import pytest
import redis

from deploy import dead_letters, status
from deploy.stack import Stack
from edge.publisher import Publisher
from tests.conftest import eventually
from weir import keys
from weir.settings import Settings


@pytest.fixture
def publisher(stack: Stack, config: Settings) -> Iterator[Publisher]:
    one = Publisher(config, "weir-test-accounts", [])
    yield one
    one.close()


def now() -> int:
    return int(time.time() * 1000)


def letters(weir: Any, reason: str, source: str) -> list[dict[str, Any]]:
    _, output = weir("dead-letters", "--json", "--reason", reason)
    return [one for one in map(json.loads, output.splitlines()) if one["source"] == source]


def values(config: Settings, sensor: str) -> list[float]:
    query = (
        "SELECT value FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) "
        "WHERE site = 'acc' AND sensor = %s ORDER BY ts"
    )
    return [value for (value,) in status.postgres_rows(config, query, (sensor,))]


def test_a_dead_letter_that_was_mended_is_put_back_and_listed_no_more(
    weir: Any, publisher: Publisher, config: Settings, tmp_path: Path
) -> None:
    source = "weir/acc/mended/data"
    publisher.raw(source, b'{"ts": "yesterday", "metrics": {"t": 4.5}}')
    (letter,) = eventually(lambda: letters(weir, "bad_shape", source))
    found = msgspec.json.decode(json.dumps(letter), type=dead_letters.DeadLetterRow)
    good = msgspec.structs.replace(found, payload=json.dumps({"ts": now(), "metrics": {"t": 4.5}}).encode())
    (tmp_path / "mended").write_bytes(msgspec.json.encode(good) + b"\n")
    code, output = weir("dead-letters", "replay", str(tmp_path / "mended"))
    assert (code, output.strip()) == (0, "1 published again")
    assert eventually(lambda: values(config, "mended")) == [4.5]
    assert letters(weir, "bad_shape", source) == []


def test_a_replayed_letter_that_is_still_wrong_is_a_new_dead_letter(
    weir: Any, publisher: Publisher, config: Settings
) -> None:
    source = "weir/acc/hopeless/data"
    publisher.raw(source, b'{"ts": 1')
    (first,) = eventually(lambda: letters(weir, "not_json", source))
    weir("dead-letters", "replay", "--reason", "not_json")
    (second,) = eventually(lambda: letters(weir, "not_json", source))
    assert second["id"] != first["id"]
    assert second["payload"] == first["payload"]


def test_a_reading_that_never_arrives_is_told_by_the_sensors_own_counter(
    weir: Any, publisher: Publisher, config: Settings
) -> None:
    start = now()
    for seq in (1, 2, 3, 5, 6, 9):
        publisher.data("acc", "gappy", {"ts": start + seq, "seq": seq, "metrics": {"t": float(seq)}})

    def gaps() -> list[list[int]] | None:
        _, output = weir("ledger", "--json")
        found = [one for one in json.loads(output)["never_arrived"] if one["sensor"] == "gappy"]
        return found[0]["gaps"] if found else None

    assert eventually(lambda: (found := gaps()) is not None and found[-1][1] == 8 and found) == [[4, 4], [7, 8]]
    publisher.data("acc", "gappy", {"ts": start + 4, "seq": 4, "metrics": {"t": 4.0}})
    eventually(lambda: gaps() == [[7, 8]])


def test_a_difference_that_lasts_opens_an_alert_which_clears_when_all_is_accounted_for(
    weir: Any, config: Settings
) -> None:
    minute = now() // 60_000 * 60_000 - 10 * 60_000
    with redis.Redis.from_url(config.redis_url) as cache:
        cache.hincrby(keys.RECEIVED, str(minute), 7)

        def alert() -> dict[str, Any] | None:
            live: Any = cache.hvals(keys.LIVE_ALERTS)
            found = [one for one in map(json.loads, live) if one["rule"] == "ledger" and one["state"] == "active"]
            return found[0] if found else None

        assert "7 readings that arrived" in eventually(alert)["text"]
        assert weir("ledger")[0] == 1
        with psycopg2.connect(config.dsn("writer")) as connection, connection.cursor() as cursor:
            cursor.execute("UPDATE ledger SET stored = stored + 7 WHERE minute = to_timestamp(%s / 1000.0)", (minute,))
        connection.close()
        eventually(lambda: alert() is None)
    assert weir("ledger")[0] == 0


def test_mosquittos_own_count_of_dropped_messages_is_watched(config: Settings) -> None:
    with redis.Redis.from_url(config.redis_url) as cache:
        dropped: Any = eventually(lambda: cache.hget(keys.BROKER, "dropped"))
    assert dropped == b"0"


def test_a_retired_sensor_leaves_the_live_picture_and_its_readings_stay(
    weir: Any, publisher: Publisher, config: Settings
) -> None:
    publisher.birth("acc", "old", {"lat": 46.9, "lon": 7.4})
    publisher.data("acc", "old", {"ts": now(), "metrics": {"t": 1.0}})
    with redis.Redis.from_url(config.redis_url) as cache:
        eventually(lambda: cache.hexists(keys.LATEST, "acc/old") and cache.hexists(keys.BIRTHS, "acc/old"))
        eventually(lambda: values(config, "old") == [1.0])
        assert weir("retire", "acc/old")[0] == 0
        eventually(lambda: not cache.hexists(keys.LATEST, "acc/old") and not cache.hexists(keys.BIRTHS, "acc/old"))
    assert values(config, "old") == [1.0]
