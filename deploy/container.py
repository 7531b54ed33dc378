"""What containers start with: `python -m deploy.container configure|migrate|wait`.

The servers' configuration is rendered by the same functions as the local stack's; what must differ in a container
is listed here, setting by setting, and nowhere else.
"""

from __future__ import annotations

import base64
import os
import sys
import time
import uuid
from pathlib import Path

from aiokafka.errors import KafkaError

from deploy import conf, migrations, mosquitto, postgres
from deploy.environment import write_secret
from stream_apps.decoders import devices
from stream_apps.mqtt_source import make_session
from weir.errors import SetupError
from weir.settings import Settings, settings

#: The volumes, one folder each below it.
ROOT = Path("/var/weir")
#: Workers reach Kafka by the name of its service; from outside it is on the published port of the loopback.
INSIDE_PORT = 29092
FOLDERS = ("mosquitto", "kafka", "postgres", "valkey", "zookeeper", "spark", "web", "config")


def kafka_listeners(config: Settings) -> dict[str, str]:
    """Two listeners: for the other containers, and for clients on this machine."""
    return {
        "listeners": f"PLAINTEXT://0.0.0.0:{config.kafka_port},INSIDE://0.0.0.0:{INSIDE_PORT}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{config.kafka_port},INSIDE://kafka:{INSIDE_PORT}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
    }


def kafka(config: Settings, folder: Path) -> str:
    """The local stack's Kafka with the listeners of a container."""
    listeners = kafka_listeners(config)
    listeners["listeners"] += f",CONTROLLER://127.0.0.1:{config.kafka_controller_port}"
    listeners["controller.quorum.voters"] = f"1@127.0.0.1:{config.kafka_controller_port}"
    return changed(conf.kafka(config, folder), listeners)


def kafka_with_zookeeper(config: Settings, folder: Path) -> str:
    where = {"zookeeper.connect": f"zookeeper:{config.kafka_controller_port}"}
    return changed(conf.kafka_with_zookeeper(config, folder), kafka_listeners(config) | where)


def postgres_conf(config: Settings) -> str:
    """The image's own start needs the socket; without a certificate there is no TLS."""
    lines = conf.postgres(config).splitlines()
    kept = [line for line in lines if not line.startswith("unix_socket_directories")]
    tls = ["ssl = on", "ssl_cert_file = '/run/tls/server.crt'", "ssl_key_file = '/run/tls/server.key'"]
    return "\n".join([*kept, *(tls if config.postgres_sslmode else [])]) + "\n"


def changed(properties: str, values: dict[str, str]) -> str:
    """`name=value` lines with some values changed or added."""
    found = dict(line.split("=", 1) for line in properties.splitlines() if line)
    return "".join(f"{name}={value}\n" for name, value in (found | values).items())


def configure(config: Settings, root: Path, owner: tuple[int, int] | None) -> None:
    """Write every server's configuration into its volume; `owner` is who the containers run as."""
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    config = config.model_copy(update={"home": root, "kafka_servers": ""})
    mosquitto.prepare(config)
    kafka_folder = root / "kafka"
    (kafka_folder / "server.properties").write_text(kafka(config, kafka_folder))
    (kafka_folder / "zookeeper-mode.properties").write_text(kafka_with_zookeeper(config, kafka_folder))
    if not (kafka_folder / "cluster-id").exists():
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        (kafka_folder / "cluster-id").write_text("w" + made[1:])
    (root / "zookeeper" / "zoo.cfg").write_text(conf.zookeeper(config, root / "zookeeper"))
    (root / "config" / "postgres.conf").write_text(postgres_conf(config))
    secure = "hostssl" if config.postgres_sslmode else "host"
    (root / "config" / "pg_hba.conf").write_text(f"local all all scram-sha-256\n{secure} all all all scram-sha-256\n")
    write_secret(root / "valkey" / "valkey.conf", conf.valkey(config, root / "valkey"))
    if owner is not None:
        _give(root, owner)


def _give(root: Path, owner: tuple[int, int]) -> None:
    for path in [*(root / name for name in FOLDERS), *root.rglob("*")]:
        os.chown(path, *owner)


def migrate(config: Settings) -> None:
    """Roles, database, tables, topics and the bridges' sessions: all that must be there before a worker starts."""
    postgres.ensure_database(config)
    migrations.migrate(config)
    migrations.create_topics(config)
    patterns = [rule.pattern for rule in devices.rules(config)]
    for shard in range(config.bridge_shards):
        if not make_session(config, shard, patterns):
            raise SetupError("Mosquitto does not take the bridge's session")


def wait(config: Settings) -> None:
    """Return when all topics are there. What Kafka answers meanwhile is said when it changes."""
    said = ""
    while True:
        try:
            missing = migrations.missing_topics(config)
        except (KafkaError, OSError) as error:
            now = f"Kafka does not answer: {error}"
        else:
            if not missing:
                return
            now = f"waiting for `migrate` to make {', '.join(sorted(missing))}"
        if now != said:
            print(f"weir: {now}", file=sys.stderr, flush=True)
        said = now
        time.sleep(2)


def main(arguments: list[str]) -> None:
    """Entry point."""
    config = settings()
    if arguments == ["configure"]:
        owner = (int(os.environ["CONTAINER_UID"]), int(os.environ["CONTAINER_GID"]))
        configure(config, ROOT, owner)
    elif arguments == ["migrate"]:
        migrate(config)
    elif arguments == ["wait"]:
        wait(config)
    else:
        raise SystemExit("usage: python -m deploy.container configure|migrate|wait")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SetupError as error:
        raise SystemExit(f"weir: {error}") from None
