"""How fleets and their history join a running stack, and leave it: import, export, tail, place, foreign brokers."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import pytest
import redis
from paho.mqtt.enums import CallbackAPIVersion
from pyarrow import parquet

from deploy import health, machine, status
from deploy.conf import mosquitto_password
from deploy.imports import sending
from deploy.stack import Stack
from edge.publisher import Publisher
from spark_jobs import tables
from stream_apps.decoders.sparkplug_wire import REBIRTH, Payload
from tests.browsing import Browser
from tests.conftest import eventually, free_ports
from tests.devices import EXAMPLES, published, said
from weir import keys
from weir.edits import event
from weir.readings import Edit, SensorEvent
from weir.settings import Settings

START = 1_533_081_600_000  # 2018-08-01
STORED = """
SELECT sensor, metric, (extract(epoch FROM ts) * 1000)::bigint, value
FROM all_readings JOIN series USING (series_id) JOIN sensors USING (sensor_id) WHERE site = %s ORDER BY 1, 2, 3"""


def now() -> int:
    return int(time.time() * 1000)


def rows(config: Settings, site: str) -> list[tuple[Any, ...]]:
    return status.postgres_rows(config, STORED, (site,))


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


class Client:
    """An MQTT client that remembers what it gets."""

    def __init__(self, port: int, user: str, password: str, topic: str, ca: Path | None = None) -> None:
        self.got: list[tuple[str, bytes]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.username_pw_set(user, password)
        if ca:
            self._client.tls_set(ca_certs=str(ca))
        subscribed = threading.Event()
        self._client.on_message = lambda *given: self.got.append((given[2].topic, given[2].payload))
        self._client.on_connect = lambda *_: self._client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("localhost" if ca else "127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(10)

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def sparkplug(seq: int, name: str, value: float) -> bytes:
    payload = Payload(timestamp=now(), seq=seq)
    payload.metrics.add(name=name, datatype=10, double_value=value)
    return bytes(payload.SerializeToString())


def asked_for_rebirth(client: Client, node: str) -> bool:
    for topic, payload in client.got:
        metrics = Payload.FromString(payload).metrics
        if topic == f"spBv1.0/gaps/NCMD/{node}" and [(m.name, m.boolean_value) for m in metrics] == [(REBIRTH, True)]:
            return True
    return False


def test_a_gap_in_a_sparkplug_sequence_makes_the_bridge_ask_the_node_for_a_rebirth(config: Settings) -> None:
    node = Client(config.mqtt_port, config.mqtt_user, config.mqtt_password, "spBv1.0/gaps/NCMD/press")
    node.publish("spBv1.0/gaps/NBIRTH/press", sparkplug(0, "T", 1.0))
    # Two messages of one millisecond would be one reading.
    eventually(lambda: [value for *_, value in rows(config, "gaps")] == [1.0])
    node.publish("spBv1.0/gaps/NDATA/press", sparkplug(1, "T", 2.0))
    eventually(lambda: [value for *_, value in rows(config, "gaps")] == [1.0, 2.0])
    assert node.got == []
    node.publish("spBv1.0/gaps/NDATA/press", sparkplug(3, "T", 4.0))
    eventually(lambda: asked_for_rebirth(node, "press"))
    eventually(lambda: [value for *_, value in rows(config, "gaps")] == [1.0, 2.0, 4.0])
    node.close()


class Elsewhere:
    """A second Mosquitto, with a user of its own and TLS."""

    def __init__(self, folder: Path) -> None:
        self.port = free_ports(1, 29_000)
        self.ca = folder / "ca.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", self.ca],
            check=True, capture_output=True,
        )  # fmt: skip
        (folder / "passwords").write_text(mosquitto_password("ann", "elsewhere-secret", os.urandom(12)))
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/passwords\n"
            f"certfile {self.ca}\nkeyfile {folder}/key.pem\nuser root\n"
        )
        self._process = subprocess.Popen([str(machine.mosquitto_path()), "-c", str(folder / "mosquitto.conf")])
        (folder / "p").write_text("elsewhere-secret\n")
        self.options = ("--password-file", str(folder / "p"), "--ca", str(self.ca))
        self.url = f"mqtts://ann@localhost:{self.port}"
        self.client = eventually(self._connected)

    def _connected(self) -> Client | None:
        try:
            return Client(self.port, "ann", "elsewhere-secret", "spBv1.0/+/NCMD/#", self.ca)
        except OSError:
            return None

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def close(self) -> None:
        self.client.close()
        self.stop()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    one = Elsewhere(folder)
    yield one
    one.close()


@pytest.fixture
def run_weir(stack: Stack) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `weir ...` as a process; it is stopped when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [os.sys.executable, "-m", "deploy.cli", *arguments]  # type: ignore[attr-defined]
        env = {**os.environ, "WEIR_HOME": str(stack.home)}
        one = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(one)
        return one

    yield run
    for one in started:
        one.terminate()
        one.communicate(timeout=20)


def test_a_foreign_broker_is_read_beside_the_local_one(
    elsewhere: Elsewhere, run_weir: Callable[..., subprocess.Popen[str]], config: Settings
) -> None:
    bridge = run_weir("bridge", "--from", elsewhere.url, *elsewhere.options)

    def read() -> bool:
        # Until the bridge has subscribed the broker keeps nothing for it.
        elsewhere.client.publish("weir/afar/own/data", json.dumps({"ts": now(), "metrics": {"t": 1}}).encode())
        return bool(rows(config, "afar"))

    eventually(read)
    elsewhere.client.publish("spBv1.0/far/NDATA/press", sparkplug(7, "T", 4.0))
    eventually(lambda: [value for *_, value in rows(config, "far")] == [4.0])
    # Data before a birth: the node is asked, at its own broker.
    eventually(lambda: any(topic == "spBv1.0/far/NCMD/press" for topic, _ in elsewhere.client.got))
    # What comes while the bridge is away is read when it is back: the session is persistent.
    bridge.terminate()
    output, _ = bridge.communicate(timeout=20)
    assert "elsewhere-secret" not in output
    assert "messages read" in output
    elsewhere.client.publish("weir/afar/late/data", json.dumps({"ts": now(), "metrics": {"t": 2}}).encode())
    run_weir("bridge", "--from", elsewhere.url, *elsewhere.options)
    eventually(lambda: [value for sensor, _, _, value in rows(config, "afar") if sensor == "late"] == [2.0])


@pytest.fixture
def supervised_elsewhere(stack: Stack, config: Settings, elsewhere: Elsewhere) -> Iterator[Elsewhere]:
    """The stack's own bridge reads the second broker too, while the test runs."""
    file = stack.home / "env"
    before = file.read_text()
    file.write_text(
        f"{before}WEIR_BRIDGE_FROM={elsewhere.url}\nWEIR_BRIDGE_FROM_PASSWORD=elsewhere-secret\n"
        f"WEIR_BRIDGE_FROM_CA={elsewhere.ca}\n"
    )

    def restart() -> None:
        stack.supervisor.stop("bridge")
        stack.supervisor.start("bridge")
        probe = health.probes(config, config.dsn("reader"))["bridge"]
        eventually(lambda: probe() is None)

    restart()
    yield elsewhere
    file.write_text(before)
    restart()


@pytest.mark.slow  # failed once in three runs beside other stacks: to be understood
def test_the_supervised_bridge_reads_the_foreign_broker_of_the_settings_and_the_local_one(
    supervised_elsewhere: Elsewhere, stack: Stack, config: Settings, publisher: Publisher
) -> None:
    # Healthy means connected to both.
    supervised_elsewhere.client.publish("weir/super/far/data", json.dumps({"ts": now(), "metrics": {"t": 1}}).encode())
    publisher.data("super", "near", {"ts": now(), "metrics": {"t": 2}})
    eventually(lambda: {sensor for sensor, *_ in rows(config, "super")} == {"near", "far"})
    assert "elsewhere-secret" not in (stack.home / "log" / "bridge.log").read_text()
    supervised_elsewhere.stop()
    probe = health.probes(config, config.dsn("reader"))["bridge"]
    eventually(lambda: "elsewhere" in (probe() or "") or "not connected" in (probe() or ""))


def test_a_foreign_broker_is_discovered_and_the_settings_for_it_are_written(
    elsewhere: Elsewhere, weir: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings_file = tmp_path / "devices.json"
    monkeypatch.setenv("WEIR_DEVICES", str(settings_file))
    stop = threading.Event()

    def talk() -> None:
        while not stop.wait(0.1):
            elsewhere.client.publish("cellar/tele/plug/SENSOR", b'{"ENERGY":{"Power":12}}')
            elsewhere.client.publish("garden/bed-1/report", b'{"soil":30,"battery":3.6}')

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        options = ("--broker", elsewhere.url, "--seconds", "2", *elsewhere.options)
        found = json.loads(weir("discover", *options, "--json")[1])
        code, output = weir("discover", *options, "--write")
    finally:
        stop.set()
        talking.join()
    assert {one["format"]: one["metrics"] for one in found["formats"]} == {
        "tasmota": ["energy_power"], "mapping": ["battery", "soil"]
    }  # fmt: skip
    assert (code, "2 rules added" in output) == (0, True)
    written = {rule["pattern"]: rule["format"] for rule in json.loads(settings_file.read_text())}
    assert written == {"+/tele/#": "tasmota", "garden/bed-1/report": "mapping"}


def test_an_edit_travels_as_a_record_of_sensors() -> None:
    key, record = event("s", "x", Edit(name="a"), 5)
    assert key == b"s/x/edit"
    assert record == SensorEvent("s", "x", 5, edit=Edit(name="a"))
