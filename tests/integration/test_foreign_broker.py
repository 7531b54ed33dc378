"""Brokers and protocols of others: Sparkplug's rebirth, a second broker beside the local one, discovery."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from deploy import health, machine
from deploy.conf import mosquitto_password
from deploy.stack import Stack
from edge.publisher import Publisher
from stream_apps.decoders.sparkplug_wire import REBIRTH, Payload
from tests.conftest import eventually, free_ports
from tests.stored import now, rows
from weir.settings import Settings


@pytest.fixture(scope="module")
def publisher(stack: Stack, config: Settings) -> Iterator[Publisher]:
    one = Publisher(config, "weir-test-foreign", [])
    yield one
    one.close()


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
        command = [sys.executable, "-m", "deploy.cli", *arguments]
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
