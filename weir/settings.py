"""Every setting, with its environment name `WEIR_<NAME>` and its default."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


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
    archive_trigger_s: int = 2
    rollup_trigger_s: int = 10
    spark_master: str = "local[2]"
    spark_memory: str = "512m"
    refresh_s: int = 5
    silent_after_s: int = 180
    #: A JSON list of rules: topics of devices that speak other formats (docs/devices.md). Default: <home>/devices.json.
    devices: Path | None = None
    #: A JSON list of rules that change the detector's parameters (docs/detection.md). Default: <home>/detection.json.
    detection: Path | None = None
    #: Where alerts are told: addresses as apprise takes them, separated by blanks. They hold secrets.
    notify: str = ""
    notify_severity: str = "warning"
    #: How often every series is forecast; 0: never.
    forecast_every_s: int = 3600
    #: A JSON list of rules: limits that forecasts warn of (docs/forecasting.md). Default: <home>/limits.json.
    limits: Path | None = None
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
    def kafka(self) -> str:
        return f"{self.host}:{self.kafka_port}"

    def dsn(self, role: str = "writer") -> str:
        """A libpq connection string for the `writer`, `reader` or `migrator` role. Holds a secret: never print it."""
        user, password = {
            "writer": (self.postgres_user, self.postgres_password),
            "reader": (self.postgres_reader, self.postgres_reader_password),
            "migrator": (self.postgres_migrator, self.postgres_migrator_password),
        }[role]
        return f"host={self.host} port={self.postgres_port} dbname={self.postgres_db} user={user} password={password}"

    @property
    def redis_url(self) -> str:
        """Holds a secret: never print it."""
        auth = f":{self.redis_password}@" if self.redis_password else ""
        return f"redis://{auth}{self.host}:{self.redis_port}/0"


@lru_cache
def settings() -> Settings:
    """The settings of this process, read once."""
    home = Settings().home
    return Settings(_env_file=home / "env")  # type: ignore[call-arg]
