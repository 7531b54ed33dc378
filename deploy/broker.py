"""The local stack's Kafka: one KRaft node, or Kafka 3.9 with ZooKeeper for sites that still run it."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from deploy import conf, jars
from deploy.conf import Program
from weir.errors import SetupError
from weir.settings import Settings

ZOOKEEPER = "zookeeper"
KAFKA_JVM = (
    "-Xms128m -Xmx384m -XX:+ExitOnOutOfMemoryError -XX:+UseSerialGC "
    "-XX:TieredStopAtLevel=1 -XX:MaxMetaspaceSize=128m -Xshare:auto"
)
_ZOOKEEPER_JVM = "-Xms32m -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"


def folder(config: Settings) -> Path:
    """Where this mode keeps its data: the two cannot read each other's."""
    return config.home / ("kafka" if config.kafka_mode == "kraft" else "kafka-zookeeper")


def programs(config: Settings) -> list[Program]:
    """The processes, ZooKeeper first where there is one."""
    where = folder(config)
    if config.kafka_mode == "kraft":
        return [Program("kafka", (*_java4(config, where, KAFKA_JVM), "kafka.Kafka", f"{where}/server.properties"), 10)]
    main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    return [
        Program(ZOOKEEPER, (*_java3(config, where, _ZOOKEEPER_JVM), main, f"{where}/zookeeper/zoo.cfg"), 5),
        Program("kafka", (*_java3(config, where, KAFKA_JVM), "kafka.Kafka", f"{where}/server.properties"), 10),
    ]


def prepare(config: Settings) -> None:
    """Write the configuration, and format a new KRaft node. Raises `SetupError`."""
    where = folder(config)
    where.mkdir(parents=True, exist_ok=True)
    if config.kafka_mode == "zookeeper":
        (where / "zookeeper").mkdir(exist_ok=True)
        (where / "zookeeper" / "zoo.cfg").write_text(conf.zookeeper(config, where / "zookeeper"))
        (where / "server.properties").write_text(conf.kafka_with_zookeeper(config, where))
        (where / "log4j.properties").write_text(conf.RELOAD4J)
        return
    (where / "server.properties").write_text(conf.kafka(config, where))
    (where / "log4j2.properties").write_text(conf.LOG4J)
    if not (where / "data" / "meta.properties").exists():
        _format(config, where)


def _format(config: Settings, where: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    cluster = "w" + cluster[1:]  # a leading hyphen would be taken for an option
    command = _java4(config, where, "-XX:TieredStopAtLevel=1")
    command += ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(where / "server.properties")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(f"Kafka could not format its storage: {(done.stderr or done.stdout).strip()[-300:]}")


def _java4(config: Settings, where: Path, options: str) -> list[str]:
    log = f"-Dlog4j2.configurationFile={where / 'log4j2.properties'}"
    return ["java", *options.split(), log, "-cp", f"{config.jars}/kafka/*"]


def _java3(config: Settings, where: Path, options: str) -> list[str]:
    log = f"-Dlog4j.configuration=file:{where / 'log4j.properties'}"
    return ["java", *options.split(), log, "-cp", f"{config.jars}/{jars.ZOOKEEPER_FOLDER}/*"]
