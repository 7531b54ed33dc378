"""`weir doctor --security`: what is open is named, with the setting that closes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy import exposure
from weir.settings import Settings

LONG = "x" * 32
PASSWORDS: dict[str, Any] = dict.fromkeys(exposure._PASSWORDS, LONG)


def open_things(config: Settings) -> dict[str, str]:
    return {one.name: one.mend for one in exposure.findings(config) if one.mend}


def test_an_installation_on_loopback_with_its_secrets_has_nothing_open(tmp_path: Path) -> None:
    assert open_things(Settings(home=tmp_path, **PASSWORDS)) == {}


def test_listening_on_every_interface_is_open(tmp_path: Path) -> None:
    found = open_things(Settings(home=tmp_path, host="0.0.0.0", mqtt_host="127.0.0.1", **PASSWORDS))
    assert "WEIR_HOST=127.0.0.1" in found["listening"]
    assert "proxy with TLS" in found["dashboard"]


@pytest.mark.parametrize(
    ("settings", "name", "closes"),
    [
        ({"mqtt_host": "broker.example"}, "MQTT", {"mqtt_ca": Path("ca.pem")}),
        ({"postgres_host": "db.example"}, "Postgres", {"postgres_sslmode": "verify-full"}),
        ({"postgres_read_host": "copy.example"}, "Postgres", {"postgres_sslmode": "verify-ca"}),
        ({"redis_host": "cache.example"}, "Redis", {"redis_tls": True}),
        ({"kafka_servers": "a.example:9092,b.example:9092"}, "Kafka", {"kafka_security": "SASL_SSL"}),
    ],
)
def test_a_hop_that_leaves_the_machine_without_tls_is_open_until_it_is_set(
    tmp_path: Path, settings: dict[str, Any], name: str, closes: dict[str, Any]
) -> None:
    assert name in open_things(Settings(home=tmp_path, **settings, **PASSWORDS))
    assert name not in open_things(Settings(home=tmp_path, **settings, **closes, **PASSWORDS))


def test_tls_that_checks_nothing_is_not_counted_as_closed(tmp_path: Path) -> None:
    config = Settings(home=tmp_path, postgres_host="db.example", postgres_sslmode="require", **PASSWORDS)
    assert "verify-full" in open_things(config)["Postgres"]


def test_a_file_with_secrets_that_others_may_read_is_open(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("x")
    (tmp_path / "env").chmod(0o644)
    assert open_things(Settings(home=tmp_path, **PASSWORDS)) == {f"{tmp_path}/env": f"chmod 600 {tmp_path}/env"}


def test_a_missing_and_a_short_password_are_open(tmp_path: Path) -> None:
    given = {**PASSWORDS, "redis_password": "", "mqtt_password": "short"}
    found = open_things(Settings(home=tmp_path, **given))
    assert set(found) == {"WEIR_REDIS_PASSWORD", "WEIR_MQTT_PASSWORD"}
    assert "short" not in found["WEIR_MQTT_PASSWORD"].replace("shorter", "")
