"""Which MQTT broker to talk to, and how; secrets never come from a command line or a URL."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt

from weir.errors import SetupError
from weir.settings import Settings

_SCHEMES = {"mqtt": (1883, False), "tcp": (1883, False), "mqtts": (8883, True), "ssl": (8883, True)}


@dataclass(frozen=True)
class Broker:
    """Where a broker is. `ca`: a file of the authorities to trust over TLS, None: the system's."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: Path | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"

    def prepare(self, client: mqtt.Client) -> None:
        """Set what a client needs before it connects. Raises `SetupError` for an unusable `ca`."""
        if self.user:
            client.username_pw_set(self.user, self.password or None)
        if self.tls:
            try:
                client.tls_set(ca_certs=str(self.ca) if self.ca else None)
            except (OSError, ValueError) as error:
                raise SetupError(f"{self.ca} holds no certificates: {error}") from error


def local(config: Settings) -> Broker:
    """Weir's own Mosquitto."""
    return Broker(*config.mqtt, config.mqtt_user, config.mqtt_password)


def parse(url: str, password: str = "", ca: Path | None = None) -> Broker:
    """A broker from `mqtt[s]://[user@]host[:port]`. Raises `SetupError`, also for a URL that holds a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SetupError(f"not the URL of a broker: {error}") from error
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise SetupError("a broker is mqtt://[user@]host[:port], or mqtts:// over TLS")
    if parts.password is not None:
        raise SetupError(
            "a password in a URL is seen by everyone who lists processes: give it in WEIR_BRIDGE_FROM_PASSWORD, or "
            "in a file with --password-file"
        )
    usual, tls = _SCHEMES[parts.scheme]
    if ca is not None and not tls:
        raise SetupError("a file of authorities is for mqtts:// only")
    return Broker(parts.hostname, port or usual, unquote(parts.username or ""), password, tls, ca)


def of_settings(config: Settings) -> Broker | None:
    """The broker of `WEIR_BRIDGE_FROM`, None where there is none. Raises `SetupError`."""
    if not config.bridge_from:
        return None
    return parse(config.bridge_from, config.bridge_from_password, config.bridge_from_ca)


def read_password(path: Path) -> str:
    """The first line of a file. Raises `SetupError`."""
    try:
        return path.read_text().split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} holds no password: {error}") from error


def client_id(config: Settings) -> str:
    """The name of our session at a foreign broker: the same after a restart, another on another machine."""
    who = f"{socket.gethostname()}\0{config.home.resolve()}"
    return f"weir-bridge-from-{hashlib.sha256(who.encode()).hexdigest()[:12]}"
