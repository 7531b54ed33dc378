"""How the settings of TLS and SASL look to each client library: one place, so that none is forgotten."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weir import setup
from weir.errors import SetupError
from weir.settings import Settings


def tls(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """Trusts `ca` alone (the system's authorities when None); shows `cert` if given. Raises `SetupError`.

    The standard library's default context checks names and dates, and takes TLS 1.2 or newer.
    """
    context = ssl.create_default_context(cafile=str(setup.readable(ca)) if ca else None)
    if cert is not None or key is not None:
        try:
            context.load_cert_chain(str(setup.readable(cert)), str(setup.readable(key)))
        except ssl.SSLError as error:
            raise SetupError(f"{cert} and {key} are no certificate with its key ({error.reason})") from error
    return context


def mqtt_tls(config: Settings) -> ssl.SSLContext | None:
    """For `paho.mqtt.client.Client.tls_set_context`; None when MQTT goes without TLS."""
    return tls(config.mqtt_ca, config.mqtt_cert, config.mqtt_key) if config.mqtt_ca else None


def secure_mqtt(client: Any, config: Settings, complain: Callable[[str], object]) -> None:
    """TLS and the password of a paho client. `complain` is told in one line why a connection did not come about."""
    context = mqtt_tls(config)
    if context is not None:
        client.tls_set_context(context)
    if config.mqtt_user:
        setup.require_secret(config.secrets, "WEIR_MQTT_PASSWORD", config.mqtt_password)
        client.username_pw_set(config.mqtt_user, config.mqtt_password)

    def failed(*_: Any) -> None:
        host, port = config.mqtt
        complain(f"Mosquitto at {host}:{port} cannot be reached: {reason(sys.exc_info()[1])}")

    client.on_connect_fail = failed


def reason(error: BaseException | None) -> str:
    """What went wrong with a connection, in words for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    return str(error) if error else "no answer"


def uses_sasl(config: Settings) -> bool:
    return config.kafka_security.startswith("SASL")


def kafka_tls(config: Settings) -> ssl.SSLContext | None:
    """None when Kafka goes without TLS."""
    if not config.kafka_security.endswith("SSL"):
        return None
    return tls(config.kafka_ca, config.kafka_cert, config.kafka_key)


def aiokafka(config: Settings) -> dict[str, Any]:
    """Keyword arguments for every consumer, producer and admin client of aiokafka."""
    found: dict[str, Any] = {"bootstrap_servers": config.kafka}
    if config.kafka_security == "PLAINTEXT":
        return found
    found |= {"security_protocol": config.kafka_security, "ssl_context": kafka_tls(config)}
    if uses_sasl(config):
        _require_kafka_password(config)
        found |= {
            "sasl_mechanism": config.kafka_mechanism,
            "sasl_plain_username": config.kafka_user,
            "sasl_plain_password": config.kafka_password,
        }
    return found


def java_kafka(config: Settings) -> dict[str, str]:
    """Properties of Java's Kafka client, for Spark (which wants `kafka.` before each) and for Kafka's own tools."""
    found = {"bootstrap.servers": config.kafka}
    if config.kafka_security == "PLAINTEXT":
        return found
    found["security.protocol"] = config.kafka_security
    if config.kafka_security.endswith("SSL"):
        if config.kafka_ca:
            found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(setup.readable(config.kafka_ca))}
        if config.kafka_cert:
            chain = setup.readable(config.kafka_cert).read_text()
            found |= {"ssl.keystore.type": "PEM", "ssl.keystore.certificate.chain": chain}
            found["ssl.keystore.key"] = setup.readable(config.kafka_key).read_text()
    if uses_sasl(config):
        _require_kafka_password(config)
        module = "plain.PlainLoginModule" if config.kafka_mechanism == "PLAIN" else "scram.ScramLoginModule"
        found["sasl.mechanism"] = config.kafka_mechanism
        found["sasl.jaas.config"] = (
            f"org.apache.kafka.common.security.{module} required "
            f"username={_quoted(config.kafka_user)} password={_quoted(config.kafka_password)};"
        )
    return found


def _require_kafka_password(config: Settings) -> None:
    if not (config.kafka_user and config.kafka_password):
        raise SetupError(f"WEIR_KAFKA_SECURITY={config.kafka_security} needs WEIR_KAFKA_USER and WEIR_KAFKA_PASSWORD")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
