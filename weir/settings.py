"""Every setting, with its environment name `WEIR_<NAME>` and its default."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic_settings import BaseSettings, SettingsConfigDict

from weir import setup


class Settings(BaseSettings):
    """Read from the environment and from `$WEIR_HOME/env` (written by `weir up`, mode 0600)."""

    model_config = SettingsConfigDict(env_prefix="WEIR_", extra="ignore", frozen=True)

    home: Path = Path(".weir")
    jars: Path = Path(__file__).resolve().parent.parent / ".jars"
    host: str = "127.0.0.1"
    mqtt_port: int = 1883
    kafka_port: int = 9092
    kafka_controller_port: int = 9093
    postgres_port: int = 5432
    redis_port: int = 6379
    web_port: int = 8050
    bridge_port: int = 6066
    detector_port: int = 6067
    alerts_port: int = 6068
    spark_port: int = 6069

    # Where the servers are when they are not on `host`, which is where our own processes listen (docs/security.md).
    mqtt_host: str = ""
    bridge_host: str = ""
    detector_host: str = ""
    alerts_host: str = ""
    postgres_host: str = ""
    redis_host: str = ""
    #: Kafka's brokers, `host:port,host:port`.
    kafka_servers: str = ""
    #: A read-only copy of Postgres that the dashboard asks; none when empty.
    postgres_read_host: str = ""
    postgres_read_port: int = 0
    #: A folder of files named as the settings they hold (`WEIR_MQTT_PASSWORD`), as Docker and Kubernetes give secrets.
    secrets: Path | None = None

    # TLS: certificates are PEM files. A `_ca` turns it on, `_cert` and `_key` say who we are.
    mqtt_ca: Path | None = None
    mqtt_cert: Path | None = None
    mqtt_key: Path | None = None
    #: Mosquitto's own TLS listener, made by `weir up` when there is a certificate for it. 0: none.
    mqtt_tls_port: int = 0
    mqtt_server_cert: Path | None = None
    mqtt_server_key: Path | None = None
    #: Whoever shows a certificate of this authority need not show a password: its name is the certificate's.
    mqtt_client_ca: Path | None = None
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_user: str = ""
    kafka_password: str = ""
    kafka_ca: Path | None = None
    kafka_cert: Path | None = None
    kafka_key: Path | None = None
    postgres_sslmode: Literal["", "disable", "prefer", "require", "verify-ca", "verify-full"] = ""
    postgres_ca: Path | None = None
    redis_tls: bool = False
    redis_ca: Path | None = None

    #: How many brokers hold each record, and how many of them must have it before it counts as kept.
    kafka_replicas: int = 1
    kafka_min_insync: int = 1
    #: `kraft`, or `zookeeper` for Kafka 3.9 with ZooKeeper (docs/operations.md).
    kafka_mode: Literal["kraft", "zookeeper"] = "kraft"
    #: `text` or `json`: one object a line.
    log_format: Literal["text", "json"] = "text"
    #: Processes of the dashboard.
    web_workers: int = 1

    mqtt_user: str = ""
    mqtt_password: str = ""
    redis_password: str = ""
    postgres_db: str = "weir"
    postgres_user: str = "weir_writer"
    postgres_password: str = ""
    postgres_reader: str = "weir_reader"
    postgres_reader_password: str = ""
    postgres_migrator: str = "weir_owner"
    postgres_migrator_password: str = ""

    partitions: int = 4
    linger_ms: int = 5
    #: How many MQTT sessions the bridges share; each serves the sites that hash to it.
    bridge_shards: int = 1
    sensor_rate: float = 500.0
    sensor_burst: int = 10_000
    watermark: str = "10 minutes"
    #: The archive looks for new records this often, and stores few of them only after `archive_wait_s`.
    archive_trigger_s: int = 1
    archive_wait_s: int = 2
    rollup_trigger_s: int = 10
    #: How long raw readings and each of their aggregates are kept, such as `90d` or `2y`; empty: for ever.
    retain_raw: str = ""
    retain_5m: str = ""
    retain_1h: str = ""
    retain_1d: str = ""
    #: A day of raw readings is compacted this long after it has ended; empty: never.
    compact_after: str = "24h"
    spark_master: str = "local[2]"
    spark_memory: str = "512m"
    #: Under which name executors on other machines reach the driver; empty: `host`.
    spark_driver_host: str = ""
    #: More of Spark's own settings, `name=value` separated by blanks (docs/scaling.md).
    spark_conf: str = ""
    refresh_s: int = 5
    silent_after_s: int = 180
    #: A JSON list of rules: topics of devices that speak other formats (docs/devices.md). Default: <home>/devices.json.
    devices: Path | None = None
    #: A second broker to read from, beside the local one: mqtt[s]://[user@]host[:port]. Its password, and a file of
    #: authorities for TLS.
    bridge_from: str = ""
    bridge_from_password: str = ""
    bridge_from_ca: Path | None = None
    #: A JSON list of rules that change the detector's parameters (docs/detection.md). Default: <home>/detection.json.
    detection: Path | None = None
    #: Where alerts are told: addresses as apprise takes them, separated by blanks. They hold secrets.
    notify: str = ""
    notify_severity: str = "warning"
    #: How often every series is forecast; 0: never.
    forecast_every_s: int = 3600
    #: A JSON list of rules: limits that forecasts warn of (docs/forecasting.md). Default: <home>/limits.json.
    limits: Path | None = None
    #: Signs the dashboard's sessions; generated by `weir up`.
    web_secret: str = ""
    #: `off`: whoever reaches the port may do everything. Only on a loopback address.
    auth: Literal["on", "off"] = "on"
    session_hours: int = 24
    #: A proxy in front speaks TLS: cookies are Secure, browsers are told to stay with it.
    web_tls: bool = False
    #: The name (`weir.example`, with `:port` if there is one) under which a proxy offers the dashboard.
    web_name: str = ""
    #: How many proxies in front say in X-Forwarded-For who asks.
    web_proxies: int = 0
    #: Requests a second that a token, or a session, may make of `/api/v1`; four times as many at once.
    api_rate: float = 20.0
    #: Origins, separated by blanks, whose pages may use `/api/v1` with a token: `https://front.example`.
    api_origins: str = ""
    tiles_url: str = ""
    tiles_attribution: str = ""
    fleet_sensors: int = 50
    fleet_rate: float = 25.0
    fleet_seed: int = 2018

    @property
    def devices_file(self) -> Path:
        return self.devices or self.home / "devices.json"

    @property
    def detection_file(self) -> Path:
        return self.detection or self.home / "detection.json"

    @property
    def limits_file(self) -> Path:
        return self.limits or self.home / "limits.json"

    @property
    def users_file(self) -> Path:
        return self.home / "users.json"

    @property
    def tokens_file(self) -> Path:
        return self.home / "tokens.json"

    @property
    def kafka(self) -> str:
        return self.kafka_servers or f"{self.host}:{self.kafka_port}"

    @property
    def kafka_first(self) -> tuple[str, int]:
        """Host and port of the first broker."""
        host, _, port = self.kafka.split(",")[0].rpartition(":")
        return host, int(port)

    @property
    def mqtt(self) -> tuple[str, int]:
        """Mosquitto's host and port."""
        return self.mqtt_host or self.host, self.mqtt_port

    @property
    def postgres(self) -> tuple[str, int]:
        """Host and port of the Postgres that is written to."""
        return self.postgres_host or self.host, self.postgres_port

    def dsn(self, role: str = "writer", *, replica: bool = False) -> str:
        """A libpq connection string for the `writer`, `reader` or `migrator` role. Holds a secret: never print it.

        `replica`: the read-only copy, if there is one, and the primary while that does not answer (libpq tries hosts
        in their order). Raises `SetupError` when the password is not in `secrets`.
        """
        user, password, name = {
            "writer": (self.postgres_user, self.postgres_password, "WEIR_POSTGRES_PASSWORD"),
            "reader": (self.postgres_reader, self.postgres_reader_password, "WEIR_POSTGRES_READER_PASSWORD"),
            "migrator": (self.postgres_migrator, self.postgres_migrator_password, "WEIR_POSTGRES_MIGRATOR_PASSWORD"),
        }[role]
        setup.require_secret(self.secrets, name, password)
        host, port = self.postgres
        where = f"host={host} port={port}"
        if replica and self.postgres_read_host:
            where = f"host={self.postgres_read_host},{host} port={self.postgres_read_port or port},{port}"
        mode = f" sslmode={self.postgres_sslmode}" if self.postgres_sslmode else ""
        trusted = f" sslrootcert={setup.readable(self.postgres_ca)}" if self.postgres_ca else ""
        return f"{where} dbname={self.postgres_db} user={user} password={password}{mode}{trusted}"

    @property
    def redis_url(self) -> str:
        """Holds a secret: never print it."""
        setup.require_secret(self.secrets, "WEIR_REDIS_PASSWORD", self.redis_password)
        auth = f":{quote(self.redis_password, safe='')}@" if self.redis_password else ""
        trusted = f"?ssl_ca_certs={setup.readable(self.redis_ca)}" if self.redis_ca else ""
        return f"redis{'s' * self.redis_tls}://{auth}{self.redis_host or self.host}:{self.redis_port}/0{trusted}"


@lru_cache
def settings() -> Settings:
    """The settings of this process, read once. Raises `SetupError` in one line, also as the end of a process."""
    with setup.one_line():
        home = Path(os.environ.get("WEIR_HOME") or ".weir")
        setup.check_names(home / "env", set(Settings.model_fields))
        return Settings(_env_file=home / "env", _secrets_dir=setup.secrets_folder(home / "env"))  # type: ignore[call-arg]
