"""`weir doctor --security`: what is open, and to whom. Each finding says what closes it; see docs/security.md."""

from __future__ import annotations

import ipaddress
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

from deploy.machine import Check
from weir.settings import Settings

_SOON_DAYS = 30
#: What holds secrets, beneath the home folder.
SECRET_FILES = ("env", "mosquitto/passwords", "mosquitto/acl", "valkey/valkey.conf")
_PASSWORDS = (
    "mqtt_password",
    "redis_password",
    "postgres_password",
    "postgres_reader_password",
    "postgres_migrator_password",
)
_SHORT = 16


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def findings(config: Settings) -> list[Check]:
    """Everything that was looked at; `mend` is empty where nothing is open."""
    found = [_bind(config), _mqtt(config), _kafka(config), _postgres(config), _redis(config), _web(config)]
    found += [_file(config.home / name) for name in SECRET_FILES if (config.home / name).exists()]
    found += [_password(config, name) for name in _PASSWORDS]
    paths = [config.mqtt_ca, config.mqtt_cert, config.mqtt_server_cert, config.mqtt_client_ca]
    paths += [config.kafka_ca, config.kafka_cert, config.postgres_ca, config.redis_ca]
    found += [certificate(path, datetime.now(UTC)) for path in dict.fromkeys(paths) if path is not None]
    return found


def certificate(path: Path, now: datetime) -> Check:
    """Whether a PEM certificate can be read and is not about to end."""
    name = f"certificate {path}"
    try:
        until = expiry(path)
    except (OSError, ValueError, ssl.SSLError) as error:
        return Check(name, "cannot be read", f"{error}".strip() or "make it anew")
    left = (until - now).days
    if until <= now:
        return Check(name, f"expired on {until:%Y-%m-%d}", "renew it: nobody who checks it can connect")
    return Check(name, f"good until {until:%Y-%m-%d}", "renew it soon" if left < _SOON_DAYS else "")


def expiry(path: Path) -> datetime:
    """When the first certificate in a PEM file ends. The standard library reads it only through this call."""
    decoded = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(decoded["notAfter"]), UTC)


def _bind(config: Settings) -> Check:
    if is_loopback(config.host):
        return Check("listening", f"{config.host}, this machine only")
    return Check("listening", f"{config.host}: whoever reaches this machine", "set WEIR_HOST=127.0.0.1, or a firewall")


def _far(hosts: list[str]) -> list[str]:
    return [host for host in hosts if not is_loopback(host)]


def _hop(name: str, hosts: list[str], encrypted: bool, mend: str) -> Check:
    far = _far(hosts)
    if encrypted:
        return Check(name, "TLS")
    return Check(name, f"no TLS to {', '.join(far)}" if far else "no TLS, on this machine only", mend if far else "")


def _mqtt(config: Settings) -> Check:
    return _hop("MQTT", [config.mqtt[0]], config.mqtt_ca is not None, "set WEIR_MQTT_CA and the TLS listener's port")


def _kafka(config: Settings) -> Check:
    hosts = [server.rpartition(":")[0] for server in config.kafka.split(",")]
    if _far(hosts) and not config.kafka_security.startswith("SASL") and config.kafka_cert is None:
        return Check("Kafka", "anybody may read and write", "set WEIR_KAFKA_SECURITY=SASL_SSL with a user and password")
    return _hop("Kafka", hosts, config.kafka_security.endswith("SSL"), "set WEIR_KAFKA_SECURITY=SASL_SSL")


def _postgres(config: Settings) -> Check:
    hosts = [config.postgres[0], *([config.postgres_read_host] if config.postgres_read_host else [])]
    sure = config.postgres_sslmode in ("verify-ca", "verify-full")
    return _hop("Postgres", hosts, sure, "set WEIR_POSTGRES_SSLMODE=verify-full and WEIR_POSTGRES_CA")


def _redis(config: Settings) -> Check:
    return _hop("Redis", [config.redis_host or config.host], config.redis_tls, "set WEIR_REDIS_TLS=true")


def _web(config: Settings) -> Check:
    where = "this machine only" if is_loopback(config.host) else f"{config.host}, without TLS"
    mend = "" if is_loopback(config.host) else "put a proxy with TLS before it"
    return Check("dashboard", where, mend)


def _file(path: Path) -> Check:
    mode = stat.S_IMODE(path.stat().st_mode)
    return Check(str(path), f"mode {mode:04o}", f"chmod 600 {path}" if mode & 0o077 else "")


def _password(config: Settings, name: str) -> Check:
    setting = f"WEIR_{name.upper()}"
    value = getattr(config, name)
    if not value:
        return Check(setting, "none", "`weir up` makes one, or give one in WEIR_SECRETS")
    short = len(value) < _SHORT
    return Check(setting, "set", f"it has fewer than {_SHORT} characters: take a longer one" if short else "")
