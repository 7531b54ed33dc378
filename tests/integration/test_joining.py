"""How fleets and their history join a running stack, and leave it: import, export, tail, place, edit."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from pyarrow import parquet

from deploy import status
from deploy.imports import sending
from deploy.stack import Stack
from edge.publisher import Publisher
from spark_jobs import tables
from tests.browsing import Browser
from tests.conftest import eventually
from tests.devices import EXAMPLES, published, said
from tests.stored import now, rows
from weir import keys
from weir.edits import event
from weir.readings import Edit, SensorEvent
from weir.settings import Settings

START = 1_533_081_600_000  # 2018-08-01


@pytest.fixture(scope="module")
def publisher(stack: Stack, config: Settings) -> Iterator[Publisher]:
    one = Publisher(config, "weir-test-joining", [])
    yield one
    one.close()


def history(path: Path, site: str, count: int, sensors: int = 3) -> list[tuple[str, str, int, float]]:
    """A CSV of `count` rows, and what is to be stored of it."""
    made = [(f"s{n % sensors}", "t", START + n // sensors * 60_000, n / 4) for n in range(count)]
    lines = [f"{site},{sensor},{metric},{ts},{value}" for sensor, metric, ts, value in made]
    path.write_text("\n".join(["site,sensor,metric,ts,value", *lines, ""]))
    return sorted(made)


def test_what_is_imported_is_stored_accounted_for_and_exported_again(
    weir: Any, config: Settings, tmp_path: Path
) -> None:
    wanted = history(tmp_path / "a.csv", "imp", 5000)
    with (tmp_path / "a.csv").open("a") as file:
        file.write("imp,s1,t,2018-08-01T00:00:00,1\nimp,s1,t,yesterday,1\nonly,three,cells\n")
    code, output = weir("import", str(tmp_path / "a.csv"))
    assert code == 0
    assert "5,000 readings" in output
    assert "3 rows refused" in output
    # The command returns when all is stored: nothing to wait for.
    assert rows(config, "imp") == wanted
    query = "SELECT reason FROM dead_letters WHERE source = 'import:a.csv' ORDER BY reason"

    def refused() -> list[tuple[Any, ...]]:
        found = status.postgres_rows(config, query, ())
        return found if len(found) == 3 else []

    letters = eventually(refused)
    assert [one for (one,) in letters] == ["bad_shape", "bad_shape", "local_time_without_zone"]
    for name in ("out.parquet", "out.csv"):
        code, output = weir("export", str(tmp_path / name), "--site", "imp", "--sensor", "s1")
        assert (code, "1,667 readings of 1 series" in output) == (0, True)
    table = parquet.read_table(tmp_path / "out.parquet")
    columns = (table["sensor"], table["ts"].cast("int64"), table["value"])
    found = [*zip(*(column.to_pylist() for column in columns), strict=True)]
    assert found == [(sensor, ts, value) for sensor, _, ts, value in wanted if sensor == "s1"]
    copy = tmp_path / "out.csv"
    copy.write_text(copy.read_text().replace("imp,", "copy,").replace('"imp",', '"copy",'))
    assert weir("import", str(copy))[0] == 0
    assert rows(config, "copy") == [one for one in wanted if one[0] == "s1"]


def test_a_span_is_exported_without_its_end(weir: Any, config: Settings, tmp_path: Path) -> None:
    wanted = history(tmp_path / "span.csv", "span", 30, sensors=1)
    assert weir("import", str(tmp_path / "span.csv"))[0] == 0
    out = tmp_path / "out.parquet"
    code, _ = weir("export", str(out), "--site", "span", "--from", "2018-08-01T00:05", "--to", "2018-08-01T00:10")
    assert code == 0
    assert parquet.read_table(out)["value"].to_pylist() == [value for *_, value in wanted[5:10]]


def test_an_import_that_is_stopped_goes_on_where_it_was(
    weir: Any, config: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = history(tmp_path / "b.csv", "resume", 60_000)
    sent: list[int] = []
    send = sending.Sender.send

    async def counting(self: Any, readings: list[Any], *rest: Any) -> None:
        if len(sent) == 1:
            raise KeyboardInterrupt
        sent.append(len(readings))
        await send(self, readings, *rest)

    monkeypatch.setattr(sending.Sender, "send", counting)
    assert weir("import", str(tmp_path / "b.csv"))[0] == 130
    assert sent == [20_000]

    async def going_on(self: Any, readings: list[Any], *rest: Any) -> None:
        sent.append(len(readings))
        await send(self, readings, *rest)

    monkeypatch.setattr(sending.Sender, "send", going_on)
    code, output = weir("import", str(tmp_path / "b.csv"))
    assert (code, "60,000 readings" in output) == (0, True)
    assert sent == [20_000, 20_000, 20_000, 0]
    assert rows(config, "resume") == wanted
    again, _ = weir("import", str(tmp_path / "b.csv"))
    assert (again, len(sent)) == (0, 4)


def test_a_file_of_nothing_but_nonsense_is_given_up_early(weir: Any, config: Settings, tmp_path: Path) -> None:
    path = tmp_path / "nonsense.csv"
    path.write_text("site,sensor,metric,ts,value\n" + "x,y,z,never,1\n" * 200)
    with pytest.raises(Exception, match="rows refused"):
        weir("import", str(path), "--most-refused", "100")


def test_tail_sensors_and_query_show_what_is_there(weir: Any, config: Settings, publisher: Publisher) -> None:
    publisher.birth("look", "roof", {"lat": 46.9, "lon": 7.4, "name": "Roof", "metrics": {"t": {"unit": "Cel"}}})
    stop = threading.Event()

    def talk() -> None:
        n = 0
        while not stop.wait(0.1):
            n += 1
            publisher.data("look", "roof", {"ts": now(), "metrics": {"t": 20 + n % 5, "h": 40}})

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        code, output = weir("tail", "--site", "look", "--metric", "t", "--count", "3", "--json")
    finally:
        stop.set()
        talking.join()
    assert code == 0
    shown = [json.loads(line) for line in output.splitlines()]
    assert [(one["site"], one["sensor"], set(one["metrics"])) for one in shown] == [("look", "roof", {"t"})] * 3
    eventually(lambda: len(rows(config, "look")) >= 6)

    def listed() -> list[tuple[Any, ...]]:
        found = json.loads(weir("sensors", "--site", "look", "--json")[1])
        return [(one["name"], one["lat"], one["metrics"]) for one in found]

    # The birth and the readings come to Postgres by different ways.
    eventually(lambda: listed() == [("Roof", 46.9, ["h", "t"])])
    found = json.loads(weir("query", "look/roof", "t", "--last", "1h", "--json")[1])
    assert found["unit"] == "Cel"
    assert found["n"] >= 3
    assert 20 <= found["min"] <= found["mean"] <= found["max"] <= 24
    code, output = weir("query", "look/roof", "t", "--last", "1h")
    assert "look/roof t Cel" in output


@lru_cache
def _signed_in(config: Settings) -> Browser:
    return Browser.signed_in(config)


def live(config: Settings, key: str) -> dict[str, Any]:
    found = _signed_in(config).get("/api/live").json["sensors"]
    return next((one for one in found if one["k"] == key), {})


def edit_of(config: Settings, field: str) -> Edit | None:
    with redis.Redis.from_url(config.redis_url) as client:
        found: Any = client.hget(keys.EDITS, field)
    return msgspec.json.decode(found, type=Edit) if found else None


def test_a_sensor_without_a_position_is_placed_by_a_file_and_stays_there(
    weir: Any, config: Settings, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.raw("tele/placeme/SENSOR", b'{"a":1}')
    eventually(lambda: status.postgres_rows(config, "SELECT 1 FROM sensors WHERE sensor = 'placeme'", ()))
    (tmp_path / "places.csv").write_text("sensor,lat,lon\nplaceme,46.5,7.5\n")
    assert weir("place", str(tmp_path / "places.csv")) == (0, "1 sensors placed\n")
    wanted = [46.5, 7.5]
    eventually(lambda: live(config, "tasmota/placeme").get("b", {}).get("at") == wanted)
    assert weir("edit", "tasmota/placeme", "--name", "The plug", "--tag", "cellar", "--limit", "a=:5")[0] == 0
    eventually(lambda: live(config, "tasmota/placeme").get("b", {}).get("name") == "The plug")
    # A new metric makes a new birth, which knows no place.
    publisher.raw("tele/placeme/SENSOR", b'{"a":1,"b":2}')
    eventually(lambda: "b" in live(config, "tasmota/placeme").get("b", {}).get("units", {}))
    assert live(config, "tasmota/placeme")["b"]["at"] == wanted
    held = eventually(lambda: edit_of(config, "tasmota/placeme"))
    assert (held.lat, held.name, held.tags, held.metrics["a"].max) == (46.5, "The plug", ["cellar"], 5.0)


@pytest.mark.skipif(not hasattr(tables, "put_edit"), reason="the archive does not store edits yet")
def test_an_edit_is_in_postgres_with_its_history(weir: Any, config: Settings, publisher: Publisher) -> None:
    publisher.birth("stored", "x", {"lat": 46.9, "lon": 7.4, "metrics": {"t": {"unit": "Cel"}}})
    query = "SELECT name, tags, lat, metrics FROM sensors WHERE site = 'stored'"
    eventually(lambda: status.postgres_rows(config, query, ()))
    assert weir("edit", "stored/x", "--name", "One", "--limit", "t=0:5")[0] == 0
    eventually(lambda: edit_of(config, "stored/x"))
    assert weir("edit", "stored/x", "--tag", "two")[0] == 0
    wanted = [("One", ["two"], 46.9, {"t": {"unit": "Cel", "min": 0.0, "max": 5.0}})]
    eventually(lambda: status.postgres_rows(config, query, ()) == wanted)
    past = "SELECT edit ->> 'name', edit -> 'tags' FROM sensor_history WHERE site = 'stored' ORDER BY at"
    assert status.postgres_rows(config, past, ()) == [("One", None), ("One", ["two"])]


def test_a_retired_sensor_takes_its_edit_with_it(weir: Any, config: Settings, publisher: Publisher) -> None:
    publisher.birth("retire", "me", {"metrics": {}})
    assert weir("edit", "retire/me", "--name", "Gone soon")[0] == 0
    eventually(lambda: edit_of(config, "retire/me"))
    assert weir("retire", "retire/me")[0] == 0
    eventually(lambda: edit_of(config, "retire/me") is None)


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["title"] for example in EXAMPLES])
def test_a_message_of_each_format_is_on_the_map(
    example: dict[str, str], publisher: Publisher, config: Settings, tmp_path: Path
) -> None:
    for topic, payload in published(example["sh"], tmp_path):
        publisher.raw(topic, payload)
    newest = {(where, name): value for where, name, value in said(example)}
    for where in {where for where, _ in newest}:
        named = {name: value for (place, name), value in newest.items() if place == where}
        eventually(lambda where=where, named=named: named.items() <= live(config, where).get("m", {}).items())


def test_the_bridge_counts_each_format_apart(config: Settings, publisher: Publisher) -> None:
    publisher.raw("tele/counted/SENSOR", b'{"Time":"nonsense","a":1}')

    def counted() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{config.bridge_port}/metrics") as answer:
            text = answer.read().decode()
        return (
            'weir_decoder_messages_total{format="tasmota"}' in text
            and 'weir_decoder_refused_total{format="tasmota",reason="bad_shape"}' in text
        )

    eventually(counted)


def test_an_edit_travels_as_a_record_of_sensors() -> None:
    key, record = event("s", "x", Edit(name="a"), 5)
    assert key == b"s/x/edit"
    assert record == SensorEvent("s", "x", 5, edit=Edit(name="a"))
