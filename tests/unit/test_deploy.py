"""What `deploy` writes down: configuration files, ports, secrets and where jars come from."""

from __future__ import annotations

import base64
import configparser
import hashlib
import shlex
from pathlib import Path

import pytest

from deploy import conf, environment, jars, machine
from deploy.supervision import Supervisor
from weir import topics
from weir.errors import SetupError
from weir.settings import Settings, settings


@pytest.fixture
def config() -> Settings:
    return Settings(mqtt_user="weir", mqtt_password="m-secret", redis_password="r-secret", kafka_port=21001)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    settings.cache_clear()


def test_a_mosquitto_password_line_can_be_checked_and_holds_no_password() -> None:
    line = conf.mosquitto_password("weir", "secret", b"123456789012").strip()
    user, rest = line.split(":")
    _, kind, iterations, salt, digest = rest.split("$")
    expected = hashlib.pbkdf2_hmac("sha512", b"secret", base64.b64decode(salt), int(iterations))
    assert (user, kind, base64.b64decode(digest)) == ("weir", "7", expected)
    assert "secret" not in line


def test_every_server_listens_on_the_loopback_interface_only(config: Settings, tmp_path: Path) -> None:
    assert "listener 1883 127.0.0.1\n" in conf.mosquitto(config, tmp_path, "root")
    assert "listeners=PLAINTEXT://127.0.0.1:21001,CONTROLLER://127.0.0.1:9093\n" in conf.kafka(config, tmp_path)
    assert "listen_addresses = '127.0.0.1'" in conf.postgres(config)
    assert "bind 127.0.0.1\n" in conf.valkey(config, tmp_path)


def test_mosquitto_drops_nothing_before_a_million_messages_and_lets_nobody_in_without_a_password(
    config: Settings, tmp_path: Path
) -> None:
    lines = conf.mosquitto(config, tmp_path, "root").splitlines()
    assert {"max_queued_messages 1000000", "allow_anonymous false", "autosave_interval 5"} <= set(lines)


def test_only_servers_own_files_hold_a_secret(config: Settings, tmp_path: Path) -> None:
    texts = [
        conf.mosquitto(config, tmp_path, "root"),
        conf.mosquitto_acl(config, []),
        conf.kafka(config, tmp_path),
        conf.postgres(config),
    ]
    assert not any("secret" in text for text in texts)


def test_a_command_with_blanks_quotes_and_percent_signs_survives_supervisors_configuration() -> None:
    command = ("/a b/run", "it's", "100%", "; no comment")
    text = conf.supervisor([conf.Program("one", command, 10)], Path("/h"), Path("/tmp/s"))
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert tuple(shlex.split(parser["program:one"]["command"])) == command
    assert parser["program:one"]["autorestart"] == "true"


def test_secrets_are_made_once_and_readable_by_the_owner_only(home: Path) -> None:
    first = environment.prepare(home, None)
    assert len({first.mqtt_password, first.redis_password, first.postgres_password, ""}) == 4
    assert (home / "env").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert environment.prepare(home, None) == first


def test_a_port_base_deals_out_all_ports_and_is_remembered(home: Path) -> None:
    environment.prepare(home, 21000)
    again = environment.prepare(home, None)
    assert [getattr(again, name) for name in environment.PORTS] == list(range(21000, 21010))


def test_an_incomplete_env_file_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="weir up"):
        environment.admin_password(tmp_path)


def test_a_busy_port_is_named_with_the_command_that_avoids_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "port_free", lambda host, number: number >= 21100)
    check = machine.port(Settings(mqtt_port=1883), "mqtt_port")
    assert (check.found, check.mend) == (
        "port 1883 is used by another process",
        "stop it or run `weir up --port-base 21100`",
    )


@pytest.mark.parametrize(
    ("system", "environ", "well"),
    [("Linux", {}, True), ("Windows", {}, False), ("Windows", {"HADOOP_HOME": "/nowhere"}, False)],
)
def test_windows_needs_winutils(system: str, environ: dict[str, str], well: bool) -> None:
    assert (machine.hadoop_on_windows(system, environ).mend == "") is well


def test_the_connector_is_of_pysparks_version() -> None:
    import pyspark

    assert jars.wanted()["connector"] == pyspark.__version__
    assert f'name="spark-sql-kafka-0-10_2.13" rev="{pyspark.__version__}"' in jars._IVY


def test_jars_come_from_the_mirror_that_the_machine_is_set_up_for(tmp_path: Path) -> None:
    plain = jars.ivy_settings(tmp_path, None, tmp_path)
    assert "root=" not in plain.read_text()
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text(
        "<settings><mirrors><!-- <mirror><mirrorOf>*</mirrorOf><url>no</url></mirror> -->"
        "<mirror><mirrorOf>other</mirrorOf><url>https://other.invalid/</url></mirror>"
        "<mirror><mirrorOf>central</mirrorOf><url>https://mirror.invalid/a&amp;b</url></mirror></mirrors></settings>"
    )
    assert 'root="https://mirror.invalid/a&amp;b"' in jars.ivy_settings(tmp_path, None, tmp_path).read_text()
    assert 'root="https://mine.invalid/"' in jars.ivy_settings(tmp_path, "https://mine.invalid/", tmp_path).read_text()
    (tmp_path / ".ivy2").mkdir()
    own = tmp_path / ".ivy2" / "ivysettings.xml"
    own.write_text("<ivysettings/>")
    assert jars.ivy_settings(tmp_path, None, tmp_path) == own


def test_restarts_are_counted_since_the_last_start_of_supervisord(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "supervisord.log").write_text(
        "INFO supervisord started with pid 1\nINFO spawned: 'kafka' with pid 2\nINFO spawned: 'kafka' with pid 3\n"
        "INFO supervisord started with pid 4\nINFO spawned: 'kafka' with pid 5\nINFO spawned: 'kafka' with pid 6\n"
        "INFO spawned: 'web' with pid 7\n"
    )
    assert Supervisor(tmp_path)._restarts() == {"kafka": 1, "web": 0}


def test_every_compacted_topic_is_one_that_is_made() -> None:
    assert set(topics.ALL) >= topics.COMPACTED
