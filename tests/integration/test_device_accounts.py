"""A real Mosquitto: each device writes its own topics and nothing else, by password or by certificate."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from deploy import exposure, health, machine, mosquitto
from deploy.cli import cli
from tests.certificates import Authority
from tests.conftest import eventually, free_ports
from weir import connections
from weir.errors import SetupError
from weir.settings import Settings, settings


class Broker:
    """Mosquitto with the files that Weir writes, in a folder of its own."""

    def __init__(self, home: Path) -> None:
        port = free_ports(2, 28_000)
        self.authority = Authority(home / "certificates")
        cert, key = self.authority.issue("mosquitto")
        self.config = Settings(
            home=home, mqtt_port=port, mqtt_user="weir", mqtt_password="all", mqtt_tls_port=port + 1,
            mqtt_server_cert=cert, mqtt_server_key=key, mqtt_client_ca=self.authority.file,
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        mosquitto.prepare(self.config)
        command = [str(machine.mosquitto_path()), "-c", f"{self.config.home}/mosquitto/mosquitto.conf"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: health.listening("127.0.0.1", self.config.mqtt_tls_port) is None, 10)

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def tls(self, cert: tuple[Path, Path] | None, ca: Path | None = None) -> Settings:
        """The settings of a client of the TLS listener."""
        given = {"mqtt_cert": cert[0], "mqtt_key": cert[1]} if cert else {}
        return self.config.model_copy(
            update={
                "mqtt_port": self.config.mqtt_tls_port,
                "mqtt_ca": ca or self.authority.file,
                "mqtt_user": "",
                **given,
            }
        )


class Client:
    """A paho client that remembers what it was answered."""

    def __init__(self, config: Settings) -> None:
        self.answers: list[str] = []
        self.heard: list[str] = []
        self.complaints: list[str] = []
        self.connected = threading.Event()
        self.gone = threading.Event()
        self.refused = ""
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        connections.secure_mqtt(self.client, config, self.complaints.append)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda *_: self.gone.set()
        self.client.on_message = lambda _c, _u, message: self.heard.append(message.topic)
        self.client.on_publish = lambda _c, _u, _m, reason, _p: self.answers.append(str(reason))
        self.client.connect_async(*config.mqtt)
        self.client.loop_start()

    def _on_connect(
        self, client: mqtt.Client, userdata: object, flags: object, reason: mqtt.ReasonCode, _: object
    ) -> None:
        if reason.is_failure:
            self.refused = str(reason)
        else:
            self.connected.set()

    def publish(self, topic: str) -> str:
        """What Mosquitto answers."""
        before = len(self.answers)
        self.client.publish(topic, b"{}", qos=1)
        return eventually(lambda: self.answers[before:], 10)[0]

    def listen(self, topic: str) -> None:
        done = threading.Event()
        self.client.on_subscribe = lambda *_: done.set()
        self.client.subscribe(topic, qos=1)
        assert done.wait(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="weir-mqtt-") as folder:
        one = Broker(Path(folder))
        yield one
        one.stop()


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    found: list[Client] = []
    yield found
    for one in found:
        one.close()


def login(broker: Broker, clients: list[Client], name: str, password: str) -> Client:
    clients.append(Client(broker.config.model_copy(update={"mqtt_user": name, "mqtt_password": password})))
    return clients[-1]


def test_a_device_writes_its_own_topics_and_no_others(broker: Broker, clients: list[Client]) -> None:
    password = mosquitto.add(broker.config, "bern/s-1", ["tele/s1/#"])
    mosquitto.add(broker.config, "bern/s-2", [])
    broker.reload()
    weir = login(broker, clients, "weir", "all")
    assert weir.connected.wait(10)
    weir.listen("#")
    device = login(broker, clients, "bern/s-1", password)
    assert eventually(device.connected.is_set, 10)
    allowed = ["weir/bern/s-1/birth", "weir/bern/s-1/data", "weir/bern/s-1/state", "tele/s1/SENSOR"]
    refused = ["weir/bern/s-2/data", "weir/bern/s-1/other", "weir/bern/s-1/data/more", "tele/s2/SENSOR", "other"]
    device.listen("weir/#")
    assert {device.publish(topic) for topic in refused} == {"Not authorized"}
    assert "Not authorized" not in {device.publish(topic) for topic in allowed}
    eventually(lambda: set(allowed) <= set(weir.heard), 10)
    assert set(weir.heard) == set(allowed)
    assert device.heard == []


def test_a_rotated_password_ends_the_old_one_and_a_removed_device_is_put_out(
    broker: Broker, clients: list[Client]
) -> None:
    old = mosquitto.add(broker.config, "bern/s-3", [])
    broker.reload()
    first = login(broker, clients, "bern/s-3", old)
    assert first.connected.wait(10)
    new = mosquitto.rotate(broker.config, "bern/s-3")
    broker.reload()
    assert first.gone.wait(10)
    assert eventually(lambda: first.refused, 20) == "Not authorized"
    second = login(broker, clients, "bern/s-3", new)
    assert second.connected.wait(10)
    mosquitto.remove(broker.config, "bern/s-3")
    broker.reload()
    assert second.gone.wait(10)


def test_a_certificate_is_a_device_by_its_name(broker: Broker, clients: list[Client]) -> None:
    clients.append(Client(broker.tls(broker.authority.issue("bern/s-9"))))
    device = clients[-1]
    assert device.connected.wait(10), device.complaints
    assert device.publish("weir/bern/s-8/data") == "Not authorized"
    assert device.publish("weir/bern/s-9/data") != "Not authorized"


def test_no_certificate_or_one_of_another_authority_is_let_in_nowhere(broker: Broker, clients: list[Client]) -> None:
    stranger = Authority(broker.config.home / "strangers", "somebody else").issue("bern/s-9")
    for cert in (None, stranger):
        clients.append(Client(broker.tls(cert)))
        assert eventually(lambda: clients[-1].gone.is_set() or clients[-1].complaints, 15)
        assert not clients[-1].connected.is_set()


def test_an_expired_server_certificate_is_one_clear_line(broker: Broker, clients: list[Client]) -> None:
    with tempfile.TemporaryDirectory(prefix="weir-mqtt-") as folder:
        other = Broker(Path(folder))
        try:
            other.stop()
            cert, key = other.authority.issue("mosquitto", days=-1, file="old")
            other.config = other.config.model_copy(update={"mqtt_server_cert": cert, "mqtt_server_key": key})
            other.start()
            clients.append(Client(other.tls(other.authority.issue("bern/s-1"))))
            said = eventually(lambda: clients[-1].complaints, 15)[0]
            assert said.endswith("cannot be reached: its certificate is refused: certificate has expired")
            found = {one.name: one for one in exposure.findings(other.config)}
            assert "expired on" in found[f"certificate {cert}"].found
            assert "renew it" in found[f"certificate {cert}"].mend
        finally:
            other.stop()


def test_the_command_prints_a_password_once_and_keeps_its_hash_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    settings.cache_clear()
    try:
        done = CliRunner().invoke(cli, ["device", "add", "bern/s-1"], catch_exceptions=False)
        password = done.stdout.strip()
        assert len(password) >= 32
        kept = "".join(path.read_text() for path in (tmp_path / "mosquitto").iterdir())
        assert "bern/s-1:$7$" in kept
        assert password not in kept
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "mosquitto").iterdir()} == {0o600}
        with pytest.raises(SetupError, match="rotate"):
            mosquitto.add(settings(), "bern/s-1", [])
        listed = CliRunner().invoke(cli, ["device", "list"], catch_exceptions=False)
        assert "weir/bern/s-1/+" in listed.stdout
        assert password not in listed.stdout
    finally:
        settings.cache_clear()


@pytest.mark.parametrize("name", ["bern", "bern/#", "Bern/s", "a/b/c", "bern/s\nuser weir", "weir"])
def test_a_name_that_could_mean_more_than_one_device_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="is no SITE/SENSOR"):
        mosquitto.add(Settings(home=tmp_path), name, [])


@pytest.mark.parametrize("topic", ["#", "+/x", "weir/#", "$SYS/#", "a\nuser weir", ""])
def test_a_topic_that_reaches_other_devices_is_refused(tmp_path: Path, topic: str) -> None:
    with pytest.raises(SetupError, match="is no topic"):
        mosquitto.add(Settings(home=tmp_path), "bern/s-1", [topic])


def test_a_device_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for change in (mosquitto.rotate, mosquitto.remove):
        with pytest.raises(SetupError, match="there is no device"):
            change(Settings(home=tmp_path), "bern/s-1")
