"""The configuration files of the local stack, rendered from the settings (pure)."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from weir.settings import Settings
from weir.setup import readable


def mosquitto(config: Settings, folder: Path, user: str) -> str:
    """Nothing dropped, nothing forgotten for longer than 5 s. Sources: mosquitto.conf(5)."""
    return f"""listener {config.mqtt_port} {config.host}
{mosquitto_tls(config)}user {user}
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
persistence true
persistence_location {folder}/
autosave_interval 5
max_queued_messages 1000000
max_queued_bytes 0
max_inflight_messages 20000
max_packet_size 1048576
persistent_client_expiration 7d
set_tcp_nodelay true
log_dest stdout
log_type error
log_type warning
log_type notice
connection_messages false
"""


def mosquitto_tls(config: Settings) -> str:
    """A second listener, with TLS 1.2 or newer, if there is a certificate for it.

    With an authority for clients it takes certificates alone: its name (CN) is then the user, `site/sensor`.
    """
    if not config.mqtt_tls_port:
        return ""
    lines = [f"listener {config.mqtt_tls_port} {config.host}", "tls_version tlsv1.2"]
    lines += [f"certfile {readable(config.mqtt_server_cert)}", f"keyfile {readable(config.mqtt_server_key)}"]
    if config.mqtt_client_ca is not None:
        lines += [f"cafile {readable(config.mqtt_client_ca)}", "require_certificate true"]
        lines += ["use_identity_as_username true"]
    return "\n".join(lines) + "\n"


def mosquitto_acl(config: Settings, patterns: list[str], devices: Mapping[str, list[str]] | None = None) -> str:
    """`patterns`: topics of devices that speak other formats. `devices`: what each may write besides its own topics.

    Weir's own account reads and writes all; a device writes three topics of its own and reads nothing.
    """
    allowed = "".join(f"topic readwrite {pattern}\n" for pattern in ["weir/#", *patterns])
    allowed += "".join(f"topic read {topic}\n" for topics in (devices or {}).values() for topic in topics)
    own = f"user {config.mqtt_user}\n{allowed}topic read $SYS/#\n"
    for name, topics in (devices or {}).items():
        if topics:
            own += f"user {name}\n" + "".join(f"topic write {topic}\n" for topic in topics)
    return own + "".join(f"pattern write weir/%u/{leaf}\n" for leaf in ("birth", "data", "state"))


def mosquitto_password(user: str, password: str, salt: bytes) -> str:
    """A line of mosquitto's password file: `$7$`, PBKDF2 with SHA-512 (mosquitto's password_mosq.c)."""
    iterations = 20_000
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"{user}:$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


#: What every Kafka of Weir is set to, whatever elects its controller. Tests hold the compose files to it.
_KAFKA_COMMON = """offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={min_insync}
transaction.state.log.num.partitions=4
min.insync.replicas={min_insync}
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
message.max.bytes=3145728
replica.fetch.max.bytes=3145728
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
"""


def _kafka_common(config: Settings) -> str:
    return _KAFKA_COMMON.format(replicas=config.kafka_replicas, min_insync=config.kafka_min_insync)


def kafka(config: Settings, folder: Path) -> str:
    """One KRaft node. The session settings make it writable again 8-9 s after a kill -9 instead of 17-23 s."""
    return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{config.host}:{config.kafka_controller_port}
listeners=PLAINTEXT://{config.kafka},CONTROLLER://{config.host}:{config.kafka_controller_port}
advertised.listeners=PLAINTEXT://{config.kafka}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
{_kafka_common(config)}"""


def kafka_with_zookeeper(config: Settings, folder: Path) -> str:
    """One node of Kafka 3.9 whose ZooKeeper listens where KRaft's controller would."""
    return f"""broker.id=1
listeners=PLAINTEXT://{config.kafka}
advertised.listeners=PLAINTEXT://{config.kafka}
zookeeper.connect={config.host}:{config.kafka_controller_port}
zookeeper.session.timeout.ms=6000
log.dirs={folder}/data
{_kafka_common(config)}"""


def zookeeper(config: Settings, folder: Path) -> str:
    """One ZooKeeper. Without the admin server, which would listen on 8080 of every interface."""
    return f"""dataDir={folder}
clientPort={config.kafka_controller_port}
clientPortAddress={config.host}
admin.enableServer=false
tickTime=2000
autopurge.snapRetainCount=3
autopurge.purgeInterval=24
"""


#: Kafka 3.9 and ZooKeeper log through reload4j.
RELOAD4J = """log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c: %m%n
"""

LOG4J = """rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c: %m%n
"""


def postgres(config: Settings) -> str:
    """No lz4: the wheel is built without it, and Postgres refuses to start with a method it lacks."""
    return f"""listen_addresses = '{config.host}'
port = {config.postgres_port}
unix_socket_directories = ''
password_encryption = scram-sha-256
shared_buffers = 128MB
max_connections = 60
max_wal_size = 2GB
checkpoint_timeout = 15min
wal_compression = on
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
"""


POSTGRES_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"


def valkey(config: Settings, folder: Path) -> str:
    """Writing a title over its environment would hide whose process it is from `weir down`: so it writes none."""
    return f"""bind {config.host}
port {config.redis_port}
requirepass {config.redis_password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
set-proc-title no
maxmemory 1gb
maxmemory-policy noeviction
"""


def web_command(config: Settings) -> list[str]:
    """gunicorn's arguments: threads, since each open page holds one, and as many processes as set."""
    where = f"-b {config.host}:{config.web_port} --workers {config.web_workers}"
    return ["web.wsgi:server", *f"{where} --worker-class web.worker.Worker --threads 32 --no-control-socket".split()]


@dataclass(frozen=True)
class Program:
    """One supervised process. Lower `priority` starts first and stops last; `stop_seconds` until it is killed."""

    name: str
    command: tuple[str, ...]
    priority: int
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: int = 15
    stop_signal: str = "TERM"


def supervisor(programs: list[Program], home: Path, socket: Path) -> str:
    """supervisord's configuration: everything is started by `weir`, and restarted when it dies."""
    head = f"""[unix_http_server]
file={socket}
chmod=0600

[supervisord]
logfile={home}/log/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile={home}/supervisord.pid
childlogdir={home}/log
nodaemon=true
silent=true

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
    return head + "".join(_program(one, home) for one in programs)


def _program(one: Program, home: Path) -> str:
    environment = {"WEIR_HOME": str(home), "WEIR_STACK": str(home), **one.environment}
    pairs = ",".join(f'{name}="{value}"' for name, value in environment.items())
    user = f"user={one.user}\n" if one.user else ""
    return f"""
[program:{one.name}]
command={shlex.join(one.command).replace("%", "%%")}
environment={pairs.replace("%", "%%")}
{user}priority={one.priority}
autostart=false
autorestart=true
startsecs=1
startretries=1000000
stopsignal={one.stop_signal}
stopwaitsecs={one.stop_seconds}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={home}/log/{one.name}.log
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=2
"""
